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


SHOPIFY = {
    "older": (
        (
            "First Name,Last Name,Email,Company,Address1,Address2,City,Province,Province Code,"
            "Country,Country Code,Zip,Phone,Accepts Marketing,Total Spent,Total Orders,Tags,Note,"
            "Tax Exempt"
        ),
        (
            "Ada,Lovelace,ada@example.com,Engines,Main 1,,Berlin,Berlin,BE,Germany,DE,'01067,"
            "'+49 170 1234567,yes,10.00,1,vip,=call,no"
        ),
    ),
    "newer": (
        (
            "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,"
            "Default Address Company,Default Address Address1,Default Address Address2,"
            "Default Address City,"
            "Default Address Province Code,Default Address Country Code,Default Address Zip,"
            "Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tags,"
            "Tax Exempt"
        ),
        (
            "'7001,Ada,Lovelace,ada@example.com,yes,Engines,Main 1,,Berlin,BE,DE,'01067,030 1,"
            "'+491701234567,no,10.00,1,=call,vip,no"
        ),
    ),
}


@pytest.mark.parametrize("table", SHOPIFY.values(), ids=SHOPIFY)
def test_shopify(cli: CommandLine, table: tuple[str, str]) -> None:
    """Shopify's customer exports are imported with every column."""
    cli.import_file(cli.write("shop.csv", *table), "--mapping", "shopify")
    [ada] = cli.export()
    attributes = ada["attributeGroups"]["shopify"]["attributes"]
    [address] = ada["addresses"]

    assert (ada["email"], ada["phone"]) == ("ada@example.com", "+491701234567")
    assert (ada["accepts_marketing"], ada["taxExempt"]) == (True, False)
    assert ada.get("customerRef") in {None, "7001"}
    assert (address["company"], address["postcode"]) == ("Engines", "01067")
    assert (address["provinceCode"], address["countryCode"]) == ("BE", "DE")
    assert attributes["Note"]["attribute_value"] == "=call"
    assert attributes["Tags"]["attribute_value"] == "vip"
    assert attributes["Total Spent"]["attribute_value"] == "10.00"


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
    authorities=("--ca", __file__, "--retry-for", "0", "get", "1", "gave up"),
    away=("--server", "127.0.0.1:1", "--retry-for", "1", "get", "1", "gave up"),
)
def test_failure(cli: CommandLine, case: tuple[str, ...]) -> None:
    """A failure is an error of one sentence, with status 1."""
    *args, message = case
    result = cli.run(*args)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert message in result.err
