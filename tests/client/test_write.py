"""Single customers are created and updated, from JSON and by fields."""

import json
from typing import Any

import pytest

from tests.client.command_line import CommandLine, Result
from tests.support.builders import UNKNOWN_ID

ADA = {
    "email": "ada@example.com",
    "firstName": "Ada",
    "customerRef": "A1",
    "phone": "+442079460958",
}


def create(cli: CommandLine, **customer: Any) -> dict[str, Any]:
    """Creates a customer, and returns it as the command prints it."""
    return stored(cli.run("create", "-", "--json", stdin=json.dumps(customer)))


def stored(result: Result) -> dict[str, Any]:
    """The customer that a command has stored and printed."""
    assert result.status == 0, result
    customer: dict[str, Any] = result.json
    return customer


def test_create(cli: CommandLine) -> None:
    """A customer is created from a file, from standard input or from fields alone."""
    path = cli.write("x.json", {"email": "file@example.com", "addresses": [{"city": "Köln"}]})
    from_file = stored(cli.run("create", path, "--json"))
    from_input = create(cli, email="input@example.com")
    from_fields = stored(cli.run("create", "--set", "email=fields@example.com", "--json"))

    assert from_file["addresses"][0]["city"] == "Köln"
    assert cli.export() == [from_file, from_input, from_fields]


def test_create_shown(cli: CommandLine) -> None:
    """Without --json the customer is printed field by field, and then what was done."""
    result = cli.run("create", "--set", "email=ada@example.com")
    [ada] = cli.export()
    assert result.status == 0
    assert "ada@example.com" in result.out.splitlines()[1]
    assert result.out.endswith(f"\ncreated the customer {ada['id']}\n")


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (("--set", "firstName=Ada=King"), "firstName", "Ada=King"),
        (("--set", "first_name=Eve"), "firstName", "Eve"),
        (("--set", "FIRSTNAME=Eve"), "firstName", "Eve"),
        (("--set", "firstName= Eve"), "firstName", " Eve"),
        (("--set", "accepts_marketing=true"), "accepts_marketing", True),
        (("--set", "accepts_marketing=no"), "accepts_marketing", False),
        (("--set", "customer_state=enabled"), "customer_state", "enabled"),
        (("--set", 'taxExemptions=["CA_STATUS_CARD_EXEMPTION"]'), "taxExemptions",
         ["CA_STATUS_CARD_EXEMPTION"]),
        (("--set", "lastName=A", "--set", "lastName=B"), "lastName", "B"),
        (("--set", "spendToNextTier=12.5"), "spendToNextTier", 12.5),
        (("--set", 'optin_preferences={"sms":true}'), "optin_preferences", {"sms": True}),
        (("--clear", "firstName"), "firstName", None),
    ],
)  # fmt: skip
def test_set(cli: CommandLine, options: tuple[str, ...], name: str, expected: object) -> None:
    """A field is set in place of that of the file, by either of its names, as its type is."""
    path = cli.write("x.json", {"email": "ada@example.com", "firstName": "File"})
    assert stored(cli.run("create", path, *options, "--json")).get(name) == expected


def test_dry_run(cli: CommandLine) -> None:
    """A dry run prints the customer as it would be stored, or what is wrong, and stores nothing."""
    options = ("create", "--dry-run", "--set", "email=ADA@Example.com")
    assert cli.run(*options, "--json").json["customer_state"] == "disabled"
    assert cli.run(*options).out.splitlines()[-1].startswith("nothing was stored")
    assert "phone: must be" in cli.run(*options, "--set", "phone=1").err
    assert cli.export() == []


@pytest.mark.parametrize(
    ("arguments", "content", "status", "problem"),
    [
        ((), "", 2, "give a FILE"),
        (("--set", "firstName"), "", 2, "must be like firstName=Ada"),
        (("--set", "fistName=Ada"), "", 2, "did you mean firstName?"),
        (("--set", "zzz=Ada"), "", 2, "no field 'zzz', but id, "),
        (("--set", "addresses[0].city=Ulm"), "", 2, "no field 'addresses[0].city'"),
        (("--set", "addresses=Ulm"), "", 2, "addresses must be JSON"),
        (("--set", "taxExempt=perhaps"), "", 2, "taxExempt must be true or false"),
        (("--set", "spendToNextTier=abc"), "", 2, "spendToNextTier must be a number"),
        (("--set", "spendToNextTier=null"), "", 2, "spendToNextTier must be a number"),
        (("--clear", "nmae"), "", 2, "no field 'nmae'"),
        (("--clear", "dob", "--set", "dob=x"), "", 2, "give one of --set and --clear for dob"),
        (("nowhere.json",), "", 1, "nowhere.json cannot be read: No such file"),
        (("-",), "", 1, "standard input is not one JSON object"),
        (("-",), "[{}]", 1, "is not one JSON object; many customers are for"),
        (("-",), '{"email": "a@b.example"}\n{"email": "c@d.example"}', 1, "Extra data"),
        (("-",), '{"email": "a", "email": "b"}', 1, "has a member twice"),
        (("-",), '{"emial": "a", "taxExempt": 1}', 1, "  taxExempt: must be true or false"),
        (("-",), '{"email": "ada"}', 1, "email: must be an e-mail address"),
        (("--set", "email=a@b.example", "--idempotency-key", "ä"), "", 2, "visible ASCII"),
    ],
)  # fmt: skip
def test_wrong_input(
    cli: CommandLine, arguments: tuple[str, ...], content: str, status: int, problem: str
) -> None:
    """What is no customer is an error that says what would be right."""
    result = cli.run("create", *arguments, stdin=content)
    assert (result.status, result.out) == (status, "")
    assert problem in result.err
    assert cli.export() == []


def test_binary_input(cli: CommandLine) -> None:
    """A file of another kind or encoding is refused."""
    path = cli.folder / "x.json"
    path.write_bytes('{"firstName": "Zoë"}'.encode("latin-1"))
    assert "is not UTF-8 at byte 18" in cli.run("create", path).err
    path.write_bytes(b"PK\x03\x04" + bytes(2000))
    assert cli.run("create", path).status == 1


@pytest.mark.parametrize(
    "selector", [("--ref", "A1"), ("--email", "ADA@example.com"), ("--id", "ID")]
)
def test_update(cli: CommandLine, selector: tuple[str, str]) -> None:
    """The fields that are given change, of the customer that an option selects; others stay."""
    ada = create(cli, **ADA)
    options = [ada["id"] if each == "ID" else each for each in selector]

    updated = stored(
        cli.run("update", "-", *options, "--set", "lastName=King", "--clear", "phone", "--json",
                stdin='{"firstName": null}')
    )  # fmt: skip

    assert updated["lastName"] == "King"
    assert updated.keys().isdisjoint({"phone", "firstName"})
    assert updated["email"] == "ada@example.com"
    assert cli.export() == [updated]


@pytest.mark.parametrize(
    ("selector", "name", "value"),
    [("--email", "email", "countess@example.com"), ("--ref", "customerRef", "A2")],
)
def test_update_of_selecting_field(cli: CommandLine, selector: str, name: str, value: str) -> None:
    """The field that selects a customer may change, too."""
    ada = create(cli, **ADA)
    change = ("update", selector, ada[name], "--set", f"{name}={value}", "--json")
    assert stored(cli.run(*change))[name] == value
    assert cli.run(*change).status == 1


@pytest.mark.parametrize(
    ("name", "value", "empty"),
    [("addresses", [{"city": "Ulm"}], "[]"), ("attributeGroups", {"a": {}}, "{}")],
)
def test_update_to_empty_list(cli: CommandLine, name: str, value: object, empty: str) -> None:
    """An empty list or map in place of the stored one clears that."""
    ada = create(cli, **ADA | {name: value})
    assert ada[name]
    assert not stored(cli.run("update", "--ref", "A1", "--set", f"{name}={empty}", "--json"))[name]


@pytest.mark.parametrize("name", ["id", "customerRef", "customer_ref"])
def test_update_of_file(cli: CommandLine, name: str) -> None:
    """The id or reference in the JSON selects the customer, if no option does."""
    ada = create(cli, **ADA)
    value = ada.get(name) or ada["customerRef"]
    result = cli.run("update", "-", stdin=json.dumps({name: value, "lastName": "King"}))
    assert result.out.endswith(f"\nupdated the customer {ada['id']}\n")
    assert cli.export()[0]["lastName"] == "King"


def test_update_unselected(cli: CommandLine) -> None:
    """An update needs one customer: none, two or an unknown one are errors."""
    change = ("update", "--set", "lastName=King")
    assert "the customer is missing" in cli.run(*change).err
    assert "give one of" in cli.run(*change, "--ref", "A1", "--email", "a@example.com").err
    unknown = cli.run(*change, "--id", UNKNOWN_ID)
    assert (unknown.status, unknown.out) == (1, "")
    assert "Next: find customers by `twc-customers lookup`" in unknown.err
    # An id in the place of a file.
    assert "selected by --id" in cli.run("update", UNKNOWN_ID, "--set", "lastName=King").err


def test_if_match(cli: CommandLine) -> None:
    """A change with an entity tag is made only if the customer still has that."""
    ada = create(cli, **ADA)
    etag = cli.run("get", "--ref", "A1", "--etag").out.strip()
    change = ("update", "--id", ada["id"], "--if-match", etag, "--set")
    assert cli.run(*change, "lastName=King").status == 0

    refused = cli.run(*change, "lastName=Queen")

    assert refused.status == 1
    assert "get ID --etag" in refused.err
    for command in ("delete", "erase"):
        yes = ("--yes",) if command == "erase" else ()
        assert cli.run(command, ada["id"], "--if-match", etag, *yes).status == 1
    assert cli.export()[0]["lastName"] == "King"


def test_idempotency_key(cli: CommandLine) -> None:
    """A command that is repeated with its key has no further effect."""
    command = ("create", "--set", "firstName=Ada", "--set", "email=ada@example.com", "--json")
    first = cli.run(*command, "--idempotency-key", "k1")
    assert cli.run(*command, "--idempotency-key", "k1").json == first.json
    other = cli.run(*command, "--set", "firstName=Eve", "--idempotency-key", "k1")
    assert other.status == 1
    assert "Next: use another --idempotency-key" in other.err
    assert len(cli.export()) == 1
