"""Customers are deleted, restored and erased by the command line."""

import json
from typing import Any

from tests.client.command_line import CommandLine
from tests.support.builders import UNKNOWN_ID
from tests.support.tokens import trusted_issuer

ADA = {"email": "ada@example.com", "firstName": "Ada"}


def delete(cli: CommandLine, customer_id: str) -> None:
    """Deletes a customer."""
    assert cli.run("delete", customer_id).status == 0


def deleted(cli: CommandLine) -> dict[str, Any]:
    """A customer that was stored and deleted."""
    cli.import_file(cli.write("x.jsonl", ADA))
    [ada] = cli.export()
    delete(cli, ada["id"])
    assert cli.export() == []
    return ada


def test_delete(cli: CommandLine) -> None:
    """A customer is deleted by id, reference or e-mail address; an unknown id is none any more."""
    for selector, value in (("--id", ""), ("--ref", "A1"), ("--email", "ada@example.com")):
        cli.import_file(cli.write("x.jsonl", ADA | {"customerRef": "A1"}))
        [ada] = cli.export()
        result = cli.run("delete", selector, value or ada["id"], "--json")
        assert (result.status, result.json) == (0, {"id": ada["id"], "deleted": True})
        assert cli.export() == []
    again = cli.run("delete", ada["id"])
    assert again.out == f"deleted: no customer has the id {ada['id']} until `restore` is run\n"
    missing = cli.run("delete", "--ref", "A1")
    assert (missing.status, missing.out) == (1, "")
    assert "there is no customer with the reference 'A1'\nNext: find it" in missing.err


def test_restore(cli: CommandLine) -> None:
    """A deleted customer is restored, and printed as JSON if asked."""
    ada = deleted(cli)
    result = cli.run("restore", ada["id"])
    assert (result.status, result.out) == (0, f"restored the customer {ada['id']}\n")
    [restored] = cli.export()
    assert restored | {"lastModifiedDate": ada["lastModifiedDate"]} == ada
    delete(cli, ada["id"])
    assert cli.run("restore", ada["id"], "--json").json["email"] == "ada@example.com"


def test_restore_refused(cli: CommandLine) -> None:
    """What cannot be restored is an error that says why."""
    ada = deleted(cli)
    assert cli.run("restore", ada["id"]).status == 0
    again = cli.run("restore", ada["id"])
    assert (again.status, again.out) == (1, "")
    assert "is not deleted" in again.err
    unknown = cli.run("restore", UNKNOWN_ID)
    assert unknown.status == 1
    assert "no customer has this id" in unknown.err


def test_restore_with_taken_value(cli: CommandLine) -> None:
    """The error names each value that another customer has by now, and which."""
    ada = deleted(cli)
    cli.import_file(cli.write("y.jsonl", ADA))
    [other] = cli.export()
    result = cli.run("restore", ada["id"])
    assert result.status == 1
    assert f"email: another customer has this value ({other['id']})" in result.err


def test_erase(cli: CommandLine) -> None:
    """A customer is erased after a confirmation that names it, and cannot be restored."""
    ada = deleted(cli)
    result = cli.run("erase", ada["id"], stdin="y\n")
    assert result.status == 0
    assert result.out.endswith(
        f"erased: nothing is held of a customer {ada['id']} but its id and times\n"
    )
    assert f"Remove all data of the customer {ada['id']} of {cli.tenant} for good?" in result.err
    assert cli.run("restore", ada["id"]).status == 1


def test_erase_by_email(cli: CommandLine) -> None:
    """A live customer is erased by its e-mail address; the question has its id."""
    cli.import_file(cli.write("x.jsonl", ADA))
    [ada] = cli.export()
    result = cli.run("erase", "--email", "ada@example.com", stdin="y\n")
    assert result.status == 0
    assert f"data of the customer {ada['id']} of" in result.err
    assert cli.run("restore", ada["id"]).status == 1


def test_erase_without_asking(cli: CommandLine) -> None:
    """Scripts say yes beforehand; to erase again succeeds."""
    ada = deleted(cli)
    for _ in range(2):
        result = cli.run("erase", ada["id"], "--yes", "--json")
        assert result.status == 0
        assert json.loads(result.out) == {"id": ada["id"], "erased": True}


def test_erase_unconfirmed(cli: CommandLine) -> None:
    """Without a yes nothing is erased."""
    ada = deleted(cli)
    for answer in ("n\n", ""):
        result = cli.run("erase", ada["id"], stdin=answer)
        assert result.status == 1
        assert "Aborted" in result.err
    assert cli.run("restore", ada["id"]).status == 0


def test_erase_without_scope(cli: CommandLine) -> None:
    """A token that may not erase is refused with the scope that it lacks."""
    ada = deleted(cli)
    cli.environment["TWC_TOKEN"] = trusted_issuer().token(tenant=cli.tenant)
    result = cli.run("erase", ada["id"], "--yes")
    assert (result.status, result.out) == (1, "")
    assert "lacks the scope customers:erase" in result.err
    assert cli.run("restore", ada["id"]).status == 0
