"""Rejected records can be corrected and imported again, and are never lost."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.client.command_line import CommandLine, emails
from twc_customer_client.formats.columns import REJECT_COLUMNS

GOOD = [*emails(1, 2, 3)]


def read_csv(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_csv_corrected(cli: CommandLine) -> None:
    """Rejected rows keep their cells; corrected in place, they complete the import."""
    path = cli.write(
        "x.csv", "email,firstName,lastName", "1@example.com,=Ada,", '2,"\'=B","a,\n""b"', "3,,"
    )
    assert cli.run("import", path).status == 3
    rejects = cli.folder / "x.rejects.csv"
    rows = read_csv(rejects)
    assert [row["reject_line"] for row in rows] == ["3", "5"]
    assert rows[0]["firstName"] == "'=B"
    write_csv(rejects, [row | {"email": f"{row['email']}@example.com"} for row in rows])

    assert cli.import_file(rejects)["created"] == 2
    assert [(it.email, it.first_name, it.last_name) for it in cli.stored()] == [
        ("1@example.com", "=Ada", ""),
        ("2@example.com", "=B", 'a,\n"b'),
        ("3@example.com", "", ""),
    ]


def test_csv_not_corrected(cli: CommandLine) -> None:
    """Rejects that are imported uncorrected are rejected again, with their new lines."""
    path = cli.write("x.csv", "email,phone", "1@example.com", "2,+1,3", "'@x,1")
    assert cli.run("import", path).status == 3
    first = cli.folder / "x.rejects.csv"
    assert cli.run("import", first).status == 3
    before, again = (
        list(csv.reader(path.read_text("utf-8").splitlines()))
        for path in (first, cli.folder / "x.rejects.rejects.csv")
    )

    assert again[0] == before[0] == [*REJECT_COLUMNS, "email", "phone"]
    assert [row[4:] for row in before[1:]] == [
        ["1@example.com"],
        ["'2", "'+1", "'3"],
        ["'@x", "'1"],
    ]
    assert [row[4:] for row in again[1:]] == [row[4:] for row in before[1:]]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_json_corrected(cli: CommandLine, name: str) -> None:
    """Rejected objects keep their members; corrected, they complete the import."""
    bad: list[Any] = [{"email": "?", "firstName": "\U0001f600", "addresses": [{"city": "B"}]}]
    rows = [GOOD[0], bad[0], None, GOOD[1]]
    if name == "x.json":
        path = cli.folder / name
        path.write_text(json.dumps(rows))
    else:
        path = cli.write(name, *rows[:2], "null", rows[3], "{")
    assert cli.run("import", path).status == 3
    rejects = cli.folder / "x.rejects.jsonl"
    rejected = [json.loads(line) for line in rejects.read_text().splitlines()]
    rejected[0]["email"] = "good@example.com"
    for row in rejected[1:]:
        row["_reject"]["text"] = json.dumps({"email": f"{row['_reject']['line']}@example.com"})
    cli.write(rejects.name, *rejected)

    assert cli.import_file(rejects)["created"] == len(rejected)
    [corrected] = [it for it in cli.stored() if it.email == "good@example.com"]
    assert corrected.first_name == "\U0001f600"
    assert corrected.addresses[0].city == "B"


def test_json_not_corrected(cli: CommandLine) -> None:
    """A line that is not JSON keeps its text, also when it is imported uncorrected."""
    path = cli.write("x.jsonl", "{", {"email": "?"})
    assert cli.run("import", path).status == 3
    assert cli.run("import", cli.folder / "x.rejects.jsonl").status == 3
    texts = [
        [json.loads(line)["_reject"].get("text") for line in each.read_text().splitlines()]
        for each in (cli.folder / "x.rejects.jsonl", cli.folder / "x.rejects.rejects.jsonl")
    ]
    assert texts == [["{", None]] * 2


def test_existing_rejects_file(cli: CommandLine) -> None:
    """A rejects file, which may have been corrected, is not overwritten."""
    path = cli.write("x.jsonl", {"email": "?"})
    assert cli.run("import", path).status == 3
    rejects = cli.folder / "x.rejects.jsonl"
    before = rejects.read_text()
    again = cli.run("import", path)

    assert again.status == 1
    assert (
        "x.rejects.jsonl has the rejects of an earlier import of x.jsonl: correct it" in again.err
    )
    assert "move it away, or name another file with --rejects" in again.err
    assert rejects.read_text() == before
    assert cli.run("import", path, "--rejects", cli.folder / "other.jsonl").status == 3
    rejects.write_text("")
    assert cli.run("import", path).status == 3
    assert rejects.read_text() == before


def test_unwritable_rejects_file(cli: CommandLine) -> None:
    """A rejects file that cannot be written is an error."""
    path = cli.write("x.jsonl", {"email": "?"})
    result = cli.run("import", path, "--rejects", cli.folder / "nowhere" / "x.jsonl")
    assert result.status == 1
    assert "cannot be written: No such file" in result.err
