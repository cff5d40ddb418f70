"""Customers are imported from files of every format, once."""

import json
from importlib.metadata import entry_points

import pytest

from tests.client.command_line import CommandLine, Result, cases, emails, finish

ADA = {
    "customerRef": "A-1",
    "email": "Ada@example.com",
    "firstName": "Ada",
    "active": False,
    "accepts_marketing": True,
    "customer_state": "invited",
    "addresses": [{"city": "Berlin", "countryCode": "DE"}, {"city": "London"}],
    "taxExemptions": ["CA-BC"],
    "attributeGroups": {"shoe": {"attributes": {"size": {"attribute_value": "42"}}}},
}
CSV = """\
customerRef,email,firstName,active,accepts_marketing,customer_state,addresses[0].city,\
addresses[0].countryCode,addresses[1].city,taxExemptions[0],\
"attributeGroups[""shoe""].attributes[""size""].attribute_value"
A-1,Ada@example.com,Ada,FALSE,yes,invited,Berlin,DE,London,CA-BC,42
"""
FILES = {
    "csv": ("ada.csv", CSV),
    "csv by option": ("ada.txt", CSV, "--format", "csv"),
    "byte order mark": ("ada.csv", "\ufeff" + CSV),
    "invisible characters in the header": (
        "ada.csv",
        CSV.replace("email", "\u200bemail\u2060").replace("firstName", "\ufefffirstName"),
    ),
    "line ends": ("ada.csv", CSV.replace("\n", "\r\n")),
    "json lines": ("ada.jsonl", "\n" + json.dumps(ADA) + "\n\n"),
    "ndjson": ("ada.ndjson", json.dumps(ADA)),
    "json": ("ada.json", json.dumps([ADA])),
    "indented json": ("ada.json", "\ufeff \n" + json.dumps([ADA], indent=2)),
    "renamed columns": (
        "ada.csv",
        CSV.replace("email", "E-Mail = X").replace("firstName", "Vorname"),
        "--map",
        "E-Mail = X=email",
        "--map",
        "Vorname=firstName",
    ),
}


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_formats(cli: CommandLine, file: tuple[str, ...]) -> None:
    """Each format imports the same customer, which is unchanged the second time."""
    name, content, *options = file
    path = cli.folder / name
    path.write_bytes(content.encode())
    first, second = cli.import_file(path, *options), cli.import_file(path, *options)
    [stored] = cli.export()

    assert (first["created"], first["unchanged"], first["rejected"]) == (1, 0, 0)
    assert (second["created"], second["unchanged"], second["rejected"]) == (0, 1, 0)
    assert {name: stored[name] for name in ADA if name != "addresses"} == {
        name: value for name, value in ADA.items() if name != "addresses"
    }
    assert [each.get("city") for each in stored["addresses"]] == ["Berlin", "London"]
    assert {each.name for each in cli.folder.iterdir()} == {name}


DELIMITED = {
    "semicolon": ("x.csv", "email;firstName\n{};Ada\n"),
    "tab": ("x.tsv", "email\tfirstName\n{}\tAda\n"),
    "pipe": ("x.csv", "email|firstName\n{}|Ada\n"),
    "more of another delimiter": ("x.csv", '"email";Note, long, or none;firstName\n{};;Ada\n'),
    "named": ("x.csv", "email:firstName\n{}:Ada\n", "--delimiter", ":"),
    "named by a word": ("x.csv", "email\tfirstName\n{}\tAda\n", "--delimiter", "tab"),
    "named within the file": ("x.csv", "sep=:\r\nemail:firstName\r\n{}:Ada\r\n"),
    "one column": ("x.csv", "email\n{}\n"),
    "blank rows": ("x.csv", ",,\n\nemail,firstName,\n,,\n{},Ada,\n , ,\n\n,,,,\n"),
    "cells too many": ("x.csv", "email,firstName\n{},Ada,,,\n"),
    "names in other cases": ("x.csv", "EMAIL,firstname,Addresses[0].CITY\n{},Ada,\n"),
}


@pytest.mark.parametrize("file", DELIMITED.values(), ids=DELIMITED)
def test_delimiters(cli: CommandLine, file: tuple[str, ...]) -> None:
    """The delimiter is that of the header; rows and columns without a value do not matter."""
    name, content, *options = file
    path = cli.write(name, content.format("ada@example.com"))
    summary = cli.import_file(path, "--ignore-unknown", *options)
    [ada] = cli.stored()

    assert (summary["created"], summary["rejected"]) == (1, 0)
    assert ada.email == "ada@example.com"
    assert ada.first_name == ("" if content.startswith("email\n") else "Ada")


def test_value_without_a_name(cli: CommandLine) -> None:
    """A row with a value in a column that has no name is rejected."""
    path = cli.write("x.csv", "email,,", "a@example.com,,", "b@example.com,,b")
    result = cli.run("import", path, "--json")

    assert (result.json["created"], result.json["rejected"]) == (1, 1)
    assert "a value in column 3, which has no name" in (cli.folder / "x.rejects.csv").read_text()


def test_rejects_of_another_delimiter(cli: CommandLine) -> None:
    """A rejects file has the delimiter of its import, so that it is read alike."""
    path = cli.write("x.csv", "email;firstName", "a;Ada,Augusta")
    assert cli.run("import", path).status == 3
    rejects = cli.folder / "x.rejects.csv"
    rejects.write_text(rejects.read_text().replace(";a;", ";a@example.com;"))

    assert cli.import_file(rejects)["created"] == 1
    assert cli.stored()[0].first_name == "Ada,Augusta"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "UTF-16BE"),
        ("windows-1252", "windows-1252"),
        ("mac-roman", "macintosh"),
        ("utf-8-sig", "utf-8"),
        ("utf-8", "utf-8-sig"),
    ],
)
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json"])
def test_encodings(cli: CommandLine, name: str, written: str, named: str) -> None:
    """A file may have any encoding that is named."""
    content = {
        "x.csv": "email,firstName\nada@example.com,Zoë “é”\n",
        "x.jsonl": '{"email":"ada@example.com","firstName":"Zoë “é”"}\n',
        "x.json": '[{"email":"ada@example.com","firstName":"Zoë “é”"}]',
    }[name]
    path = cli.folder / name
    path.write_bytes(content.encode(written))
    cli.import_file(path, "--encoding", named)

    assert cli.stored()[0].first_name == "Zoë “é”"


@cases(
    mark=("utf-8-sig", "windows-1252", "the file is in UTF-8: leave out --encoding"),
    text=("utf-8", "utf-16", "the file is not in UTF-16: leave out --encoding"),
    undefined=("iso-8859-1", "windows-1252", "line 3 is not in cp1252"),
)
def test_wrong_encoding(cli: CommandLine, case: tuple[str, str, str]) -> None:
    """A file that is not in the encoding that is named is refused where that shows."""
    written, named, error = case
    path = cli.folder / "x.csv"
    path.write_bytes("email,firstName\na@example.com,Zoë\nb@example.com,\x81\n".encode(written))
    result = cli.run("import", path, "--encoding", named)

    assert result.status == 1
    assert error in result.err


def test_standard_input(cli: CommandLine) -> None:
    """Standard input is imported without a state file."""
    lines = "".join(json.dumps(each) + "\n" for each in [*emails(1, 2), {"email": "?"}])
    result = finish(cli.start("import", "-", "--format", "jsonl", "--json"), lines)

    assert (result.status, result.json["created"], result.json["rejected"]) == (3, 2, 1)
    assert [each.name for each in cli.folder.iterdir()] == ["stdin.rejects.jsonl"]


def test_entry_point(cli: CommandLine) -> None:
    """The command is installed under its name."""
    [command] = entry_points(name="twc-customers", group="console_scripts")
    assert command.load().__module__ == "twc_customer_client.cli"
    assert cli.run("--help").status == 0


def test_no_customers(cli: CommandLine) -> None:
    """A header without rows, an empty file and an empty array can be imported."""
    for name, content in (("a.csv", "email"), ("b.jsonl", ""), ("c.json", "[]")):
        assert cli.import_file(cli.write(name, content))["created"] == 0


def test_dry_run(cli: CommandLine) -> None:
    """A dry run stores nothing, and has the same rejects as the import, in a file of its own."""
    path = cli.write("x.jsonl", *emails(1, 2), {"email": "?"}, {"email": 5})
    dry_run = cli.run("import", path, "--dry-run", "--json")
    before = cli.export()
    result = cli.run("import", path, "--json")

    assert (dry_run.status, dry_run.json["valid"], dry_run.json["rejected"]) == (3, 2, 2)
    assert before == []
    assert (result.status, result.json["created"], result.json["rejected"]) == (3, 2, 2)
    rejects = [cli.folder / f"x{kind}.rejects.jsonl" for kind in (".dry-run", "")]
    assert rejects[0].read_text() == rejects[1].read_text()


def test_dry_run_of_repeated_customer(cli: CommandLine) -> None:
    """A customer who is in a file twice is unchanged in a dry run, as in the import."""
    path = cli.write("x.jsonl", *emails(1, 1))
    dry_run = cli.import_file(path, "--dry-run")
    result = cli.import_file(path)

    assert (dry_run["valid"], dry_run["unchanged"]) == (1, 1)
    assert (result["created"], result["unchanged"]) == (1, 1)


def test_summary(cli: CommandLine) -> None:
    """The summary has the numbers of customers and the path of the rejects."""
    result = cli.run("import", cli.write("x.jsonl", *emails(1, 1), {"email": "?"}))

    assert result == Result(
        3,
        f"1 created, 1 unchanged\n1 rejected: see {cli.folder / 'x.rejects.jsonl'}\n",
        "",
    )


USAGE = {
    "format": ("import", "x.txt"),
    "map": ("import", "x.csv", "--map", "email"),
    "encoding": ("import", "x.csv", "--encoding", "klingon"),
    "no encoding of text": ("import", "x.csv", "--encoding", "hex"),
    "delimiter": ("import", "x.csv", "--delimiter", "::"),
    "quote as delimiter": ("import", "x.csv", "--delimiter", '"'),
    "no such option": ("import", "x.csv", "--no"),
    "tombstones in CSV": ("export", "x.csv", "--include-deleted"),
    "export as JSON": ("export", "x.json"),
    "since": ("export", "--since", "yesterday"),
    "nothing to look up": ("lookup",),
    "no tenant": ("--tenant", "", "get", "1"),
    "half a certificate": ("--cert", __file__, "get", "1"),
    "timeout": ("--timeout", "0", "get", "1"),
}


@pytest.mark.parametrize("args", USAGE.values(), ids=USAGE)
def test_usage(cli: CommandLine, args: tuple[str, ...]) -> None:
    """Wrong usage is an error with status 2."""
    cli.write("x.txt")
    result = cli.run(*args)
    assert (result.status, result.out) == (2, "")
    assert "Error: " in result.err


@cases(
    missing=("import", "nowhere.csv", "cannot be read: No such file"),
    token=(
        "--token",
        "a b",
        "get",
        "1",
        "the token is empty, or has characters that no bearer token has",
    ),
    forged=("--token", "x.y.z", "get", "1", "the token cannot be verified (UNAUTHENTICATED)"),
    foreign=("--tenant", "else", "get", "1", "not for the tenant"),
    tenant=("--tenant", "a b", "get", "1", "X-TWC-Tenant"),
    authorities=("--ca", __file__, "--retry-for", "0", "get", "1", "cannot be used\nNext: "),
    away=("--server", "127.0.0.1:1", "--retry-for", "2", "get", "1", "gave up"),
)
def test_failure(cli: CommandLine, case: tuple[str, ...]) -> None:
    """A failure is an error of one sentence, and of what to do next, with status 1."""
    *args, message = case
    result = cli.run(*args)
    assert (result.status, result.out) == (1, "")
    assert "Error: " in result.err
    assert message in result.err
    assert "\nNext: " in result.err
