"""Customers that clash with existing ones are rejected, skipped, or update those."""

import csv

import pytest

from tests.client.command_line import CommandLine

STORED = [
    {"email": "1@example.com", "customerRef": "A-1", "firstName": "Ada", "active": False},
    {"email": "2@example.com", "phone": "+442079460002", "firstName": "Eve"},
    {"email": "3@example.com", "mobile": "+447700900003", "firstName": "Ann"},
    {"email": "4@example.com", "firstName": "Bob"},
]

# A change by each kind of value, one that changes nothing, one of two customers, a
# new customer and an invalid one.
ROWS = """\
email,customerRef,phone,mobile,lastName
,A-1,,,King
,,+442079460002,,King
,,,+447700900003,King
4@example.com,,,,
4@example.com,A-1,,,King
5@example.com,,,,King
?,,,,King
"""
UPDATED = [("Ada", "King"), ("Eve", "King"), ("Ann", "King"), ("Bob", ""), ("", "King")]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_update(cli: CommandLine, name: str) -> None:
    """Rows update the customers that have their values; imported again, they change nothing."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    path = cli.write(name, ROWS)
    if name == "x.jsonl":
        rows = csv.DictReader(ROWS.splitlines())
        path = cli.write(name, *({key: it for key, it in row.items() if it} for row in rows))
    first = cli.run("import", path, "--on-conflict", "update", "--json")
    after = cli.stored()
    options = ("--on-conflict", "update", "--rejects", cli.folder / f"again.{name}")
    second = cli.run("import", path, *options, "--json")

    outcomes = ("created", "updated", "unchanged", "skipped", "rejected")
    assert [first.json[each] for each in outcomes] == [1, 3, 1, 0, 2]
    assert [second.json[each] for each in outcomes] == [0, 0, 5, 0, 2]
    assert [(it.first_name, it.last_name) for it in after] == UPDATED
    assert not after[0].active
    assert cli.stored() == after
    rejects = (cli.folder / f"x.rejects.{name[2:]}").read_text()
    assert rejects.count("several customers have values of this one") == 2


def test_results(cli: CommandLine) -> None:
    """The results file has what became of each row, by its line, and the customer's id."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    path, results = cli.write("x.csv", ROWS), cli.folder / "results.csv"
    command = ("import", path, "--on-conflict", "update", "--results", results)
    assert cli.run(*command).status == 3
    rows = list(csv.reader(results.read_text().splitlines()))
    ids = [it.id for it in cli.stored()]
    again = cli.run(*command, "--rejects", cli.folder / "other.csv")

    assert rows == [
        ["line", "result", "id"],
        *[[str(place + 2), "updated", ids[place]] for place in range(3)],
        ["5", "unchanged", ids[3]],
        ["6", "rejected", ""],
        ["7", "created", ids[4]],
        ["8", "rejected", ""],
    ]
    assert again.status == 1
    assert "results.csv exists already: move it away, or name another file" in again.err


def test_skip(cli: CommandLine) -> None:
    """Rows that clash are skipped, and counted as such."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    before = cli.stored()
    path = cli.write("x.jsonl", STORED[0], {"email": "1@example.com"}, {"email": "5@example.com"})
    result = cli.run("import", path, "--on-conflict", "skip")

    assert (result.status, result.out) == (0, "1 created, 1 unchanged, 1 skipped\n")
    assert cli.stored()[:4] == before


def test_dry_run_of_update(cli: CommandLine) -> None:
    """A dry run counts what would be stored or updated as valid, and changes nothing."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    before = cli.stored()
    result = cli.run("import", cli.write("x.csv", ROWS), "--on-conflict", "update", "--dry-run")

    assert (result.status, result.out.splitlines()[0]) == (3, "4 valid, 1 unchanged")
    assert cli.stored() == before


def test_summary_of_update(cli: CommandLine) -> None:
    """The summary has the number of updates."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    path = cli.write("x.csv", "customerRef,firstName", "A-1,Augusta")
    result = cli.run("import", path, "--on-conflict", "update")
    assert result.out == "0 created, 1 updated, 0 unchanged\n"


def test_corrected_export(cli: CommandLine) -> None:
    """An export that was edited updates the customers, and leaves the others as they are."""
    cli.import_file(cli.write("stored.jsonl", *STORED))
    before = cli.stored()
    exported = cli.folder / "all.csv"
    assert cli.run("export", exported).status == 0
    exported.write_text(exported.read_text().replace("Ada", "Augusta"))
    summary = cli.import_file(exported, "--on-conflict", "update")

    assert (summary["updated"], summary["unchanged"]) == (1, 3)
    assert [it.first_name for it in cli.stored()] == ["Augusta", "Eve", "Ann", "Bob"]
    assert cli.stored()[1:] == before[1:]
