"""A spreadsheet between writing and reading a CSV file changes nothing, however often it saves."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.command_line import SECONDS, CommandLine, without_server_fields
from tests.support.programs import program

# Names of customers: what spreadsheets, or this command, may change.
VALUES = [
    "00123",
    "1E5",
    "2001-05-28",
    "TRUE",
    "=1+1",
    "-5",
    "@x",
    "+442079460958",
    "'+442079460958",
    "'00123",
    "'1E5",
    "'=2",
    "'t",
    "''t",
    "'",
    "12345678901234567890",
    "1,000",
    "1.000,5",
    "10%",
    "$5",
    "(5)",
    "1/2",
    "12:30",
    "MAR1",
    "Jan-20",
    "May 5",
    "#N/A",
    "0x10",
    " 5",
    "5 ",
    "Jörg",
    "名前",
    "\uff13",
    "2026-05-28T10:00:00Z",
    '"quoted"',
    '"5"',
    '{"a":1}',
    "a\nb",
    "a\r\nb",
    "a\rb",
    "a,b;c\td",
    '\'"x\r"',
    '\'"x"',
]

# Calc's own defaults, and that it reads dates and percentages as well. The numbers
# are comma, double quote, UTF-8, first line; English; no text from quotes alone.
PLAIN = "csv"
ALL_NUMBERS = "Text - txt - csv (StarCalc):44,34,76,1,,1033,false,true"

MANY_FIELDS = {
    "email": "extra@example.com",
    "firstName": "",
    "lastName": "'",
    "taxExempt": True,
    "taxExemptions": ["007", "a\rb"],
    "accepts_marketing": True,
    "marketing_preferences_updated_at": "2020-01-01T00:00:00Z",
    "addresses": [{"city": "1E5", "postcode": "01067"}, {"address1": "12\r\nx", "phone": "0"}],
    "attributeGroups": {"=1": {"attributes": {"01": {"attribute_value": "1\r\n2"}}}},
}

Save = Callable[..., None]


@pytest.fixture(scope="module", params=[PLAIN, ALL_NUMBERS], ids=["plain", "all numbers"])
def save(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Opens CSV files in LibreOffice Calc and saves them, twice. CI must have Calc."""
    office = program("soffice", "libreoffice-calc")
    folder = tmp_path_factory.mktemp("office")
    options = [f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless"]
    if request.param != PLAIN:
        options.append(f"--infilter={request.param}")

    def save(*paths: Path) -> None:
        for _ in range(2):
            files = map(str, paths)
            command = [office, *options, "--convert-to", "csv", "--outdir", str(folder), *files]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            for path in paths:
                (folder / path.name).replace(path)

    return save


def write(path: Path, domain: str) -> Path:
    """Writes a file of customers, whose addresses are valid by a domain alone."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["email", "customerRef", "firstName", "phone", "active", "dob"])
        for number, value in enumerate(VALUES):
            phone = f"'+44207946{number:04}"
            row = [f"x{number}{domain}", f"00{number}", value, phone, "true", "2001-05-28"]
            table.writerow(row)
    return path


def test_saved_files(
    cli: CommandLine,
    other_cli: CommandLine,
    make_cli: Callable[[str, str], CommandLine],
    address: str,
    save: Save,
) -> None:
    """Corrected rejects are stored as the corrected source file is; an export changes nothing.

    What was exported is unchanged when it is imported again, and copies the customers to a tenant.
    """
    source = write(cli.folder / "x.csv", "")
    assert cli.run("import", source).status == 3
    rejects = cli.folder / "x.rejects.csv"
    other_cli.import_file(write(cli.folder / "y.csv", "@example.com"))
    expected = other_cli.stored()
    other_cli.import_file(cli.write("y.jsonl", MANY_FIELDS))
    exported = cli.folder / "all.csv"
    assert other_cli.run("export", exported).status == 0
    # Calc, whose start takes most of the time, has both at once.
    save(rejects, exported)

    assert cli.run("import", rejects).status == 3
    again = cli.folder / "x.rejects.rejects.csv"
    save(again)
    text = again.read_bytes().decode()
    for number in range(len(VALUES)):
        text = text.replace(f",x{number},", f",x{number}@example.com,")
    again.write_bytes(text.encode())
    cli.import_file(again)
    assert [it.first_name for it in cli.stored()] == [it.first_name for it in expected]
    for mine, other in zip(cli.stored(), expected, strict=True):
        assert without_server_fields(mine) == without_server_fields(other)
        assert mine.phone.startswith("+44207946")

    third = make_cli(address, f"{cli.tenant}-third")
    assert other_cli.import_file(exported)["unchanged"] == len(VALUES) + 1
    assert third.import_file(exported)["created"] == len(VALUES) + 1
