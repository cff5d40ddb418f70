"""Single customers are found, and printed for people and for programs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.command_line import CommandLine
from tests.support.builders import UNKNOWN_ID
from tests.support.certificates import Authority
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings


def test_get(cli: CommandLine) -> None:
    """A customer is printed field by field, or as JSON."""
    cli.import_file(cli.write("x.jsonl", {"email": "ada@example.com", "firstName": "[bold]=1"}))
    [ada] = cli.export()

    assert cli.run("get", ada["id"], "--json").json == ada
    shown = cli.run("get", ada["id"])
    assert shown.status == 0
    assert "ada@example.com" in shown.out
    assert "[bold]=1" in shown.out


def test_get_by_other_values(cli: CommandLine) -> None:
    """A customer is also got by its reference or e-mail address."""
    cli.import_file(cli.write("x.jsonl", {"email": "ada@example.com", "customerRef": "A1"}))
    [ada] = cli.export()
    for selector in (("--id", ada["id"]), ("--ref", "A1"), ("--email", "ADA@example.com")):
        assert cli.run("get", *selector, "--json").json == ada
    assert "the customer is missing" in cli.run("get").err
    assert "give one of" in cli.run("get", ada["id"], "--ref", "A1").err
    assert (
        "with the e-mail address 'x@example.com'" in cli.run("get", "--email", "x@example.com").err
    )


def test_etag(cli: CommandLine) -> None:
    """The entity tag is another one after each change."""
    cli.import_file(cli.write("x.jsonl", {"email": "ada@example.com"}))
    etag = ("get", "--email", "ada@example.com", "--etag")
    before = cli.run(*etag).out
    assert before.startswith('"')
    assert cli.run("update", "--email", "ada@example.com", "--set", "firstName=Ada").status == 0
    assert cli.run(*etag).out != before


def test_get_unknown(cli: CommandLine) -> None:
    """An unknown id is an error, and so is what is none."""
    result = cli.run("get", UNKNOWN_ID)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"Error: there is no customer with the id '{UNKNOWN_ID}'\nNext: ")
    result = cli.run("get", "\x1bx")
    assert (result.status, result.out) == (1, "")
    assert "id: must be an id, a UUID such as" in result.err
    assert "\x1b" not in result.err


def test_lookup(cli: CommandLine) -> None:
    """The customers that match every option are printed, one per line."""
    rows = [{"email": f"{n}@example.com", "firstName": "Ada", "lastName": f"L {n % 2}"}
            for n in range(4)]  # fmt: skip
    cli.import_file(cli.write("x.jsonl", *rows, {"email": "b@example.com", "phone": "+4930123456"}))

    lines = cli.run("lookup", "--first-name", "ADA", "--last-name", "l 1").out.splitlines()
    assert [line.split("\t")[2:5] for line in lines] == [
        ["1@example.com", "Ada", "L 1"],
        ["3@example.com", "Ada", "L 1"],
    ]
    [one] = cli.run("lookup", "--phone", "+49 30 123456", "--json").out.splitlines()
    assert json.loads(one)["email"] == "b@example.com"
    assert cli.run("lookup", "--email", "nobody@example.com").out == ""
    assert cli.run("lookup", "--mobile", "+491701234567").status == 0


def test_lookup_pages(cli: CommandLine) -> None:
    """A lookup reads all pages."""
    rows = [{"email": f"{n}@example.com", "lastName": "L"} for n in range(2100)]
    cli.import_file(cli.write("x.jsonl", *rows))
    lines = cli.run("lookup", "--last-name", "L").out.splitlines()
    assert len({line.split("\t")[2] for line in lines}) == len(lines) == 2100


def test_lookup_violations(cli: CommandLine) -> None:
    """The violations of a request are listed by field."""
    result = cli.run("lookup", "--phone", "1", "--mobile", "2")
    assert result.status == 1
    assert "\n  mobile: must be a phone number" in result.err
    assert "\n  phone: must be a phone number" in result.err


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, tenant: str, *, mutual: bool
) -> None:
    """TLS needs the server's authority, and a client certificate where the server requires it."""
    authority = Authority(tmp_path, "authority")
    pair, own = authority.issue("server"), authority.issue("client")
    settings = Settings(
        data_dir=tmp_path,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        tls_client_ca=authority.certificate if mutual else None,
        **trust(),
    )
    app = App(settings, ["127.0.0.1:0"])
    app.start()
    try:
        cli = make_cli(f"127.0.0.1:{app.ports[0]}", tenant)
        cli.environment["TWC_RETRY_FOR"] = "0"
        trusted = ("--ca", authority.certificate)
        authenticated = (*trusted, "--cert", own.certificate, "--key", own.key)
        statuses = [cli.run(*options, "export").status for options in ((), trusted, authenticated)]
    finally:
        app.stop()
    assert statuses == [1, 1 if mutual else 0, 0]


def test_plaintext(cli: CommandLine) -> None:
    """The token goes to another machine unencrypted only if that is permitted."""
    refused = cli.run("--server", "customers.invalid:50051", "get", "1")
    assert refused.status == 2
    assert "would travel to customers.invalid:50051 unencrypted" in refused.err
    assert "--plaintext" in refused.err
    permitted = ("--server", "customers.invalid:50051", "--plaintext", "--retry-for", "0")
    assert "cannot reach customers.invalid:50051: " in cli.run(*permitted, "get", "1").err


def test_unreadable_authority(cli: CommandLine) -> None:
    """A file that is not a certificate is an error like any other."""
    result = cli.run("--ca", __file__, "--tls", "--retry-for", "0", "get", "1")
    assert result.status == 1
