"""Two customers are merged, after a dry run if wanted."""

import pytest

from tests.client.command_line import CommandLine
from tests.support.builders import UNKNOWN_ID

ADA = {"email": "ada@example.com", "firstName": "Ada"}
EVE = {"email": "eve@example.com", "firstName": "Eve", "vipStatus": "gold"}


@pytest.fixture
def pair(cli: CommandLine) -> tuple[str, str]:
    """The ids of two stored customers, ADA and EVE."""
    cli.import_file(cli.write("x.jsonl", ADA, EVE))
    ada, eve = cli.stored()
    return ada.id, eve.id


def test_merge(cli: CommandLine, pair: tuple[str, str]) -> None:
    """The merged customer is printed field by field, with what became of the other."""
    ada, eve = pair

    result = cli.run("merge", ada, eve)

    assert result.status == 0
    assert "gold" in result.out
    assert result.out.endswith(f"{eve} was merged into {ada}, and deleted\n")
    [stored] = cli.export()
    assert (stored["id"], stored["vipStatus"]) == (ada, "gold")
    [tombstone] = (it for it in cli.export("--include-deleted") if "email" not in it)
    assert tombstone == {"id": eve, "deleted": tombstone["deleted"], "mergedInto": ada}


@pytest.mark.parametrize(
    ("options", "name", "email"),
    [
        ((), "Ada", "ada@example.com"),
        (("--take", "firstName"), "Eve", "ada@example.com"),
        (("--take", "firstName", "--take", "email"), "Eve", "eve@example.com"),
        (("--take", "first_name, email,"), "Eve", "eve@example.com"),
    ],
)
def test_taken_fields(
    cli: CommandLine, pair: tuple[str, str], options: tuple[str, ...], name: str, email: str
) -> None:
    """Fields are taken by either of their names; a dry run prints what the merge then stores."""
    dry = cli.run("merge", *pair, *options, "--dry-run", "--json").json
    assert [it["firstName"] for it in cli.export()] == ["Ada", "Eve"]
    assert dry["dropped"] == {"id": pair[1], "mergedInto": pair[0]}

    made = cli.run("merge", *pair, *options, "--json").json

    assert (made["customer"]["firstName"], made["customer"]["email"]) == (name, email)
    assert cli.export() == [made["customer"]]
    assert made["dropped"].keys() == {"id", "mergedInto", "deleteTime"}
    for merged in (dry, made):
        del merged["customer"]["lastModifiedDate"]
    assert dry["customer"] == made["customer"]


def test_dry_run(cli: CommandLine, pair: tuple[str, str]) -> None:
    """A dry run says that nothing was stored."""
    result = cli.run("merge", *pair, "--dry-run")

    assert "gold" in result.out
    assert result.out.splitlines()[-1].startswith("nothing was stored")
    assert len(cli.export()) == 2


def test_refused_merge(cli: CommandLine, pair: tuple[str, str]) -> None:
    """A merge that is refused is an error that names what is wrong."""
    for arguments, problem in (
        ((pair[0], UNKNOWN_ID), "no customer has this droppedId"),
        ((pair[0], pair[0]), "droppedId: must be the id of another customer"),
        ((*pair, "--take", "addresses"), "takenFields: addresses must not be named"),
    ):
        result = cli.run("merge", *arguments)
        assert (result.status, result.out) == (1, "")
        assert problem in result.err
