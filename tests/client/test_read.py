"""Single customers are found, and shown to people and to programs."""

import json
from pathlib import Path

import pytest

from tests.client.command_line import CommandLine
from tests.support.certificates import Authority
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings import Settings


def test_get(cli: CommandLine) -> None:
    """A customer is printed field by field, or as JSON."""
    cli.imports(cli.write("x.jsonl", {"email": "ada@example.com", "firstName": "[bold]=1"}))
    [ada] = cli.exports()

    assert cli.run("get", ada["id"], "--json").object == ada
    shown = cli.run("get", ada["id"])
    assert shown.status == 0
    assert "ada@example.com" in shown.out
    assert "[bold]=1" in shown.out


def test_get_nobody(cli: CommandLine) -> None:
    """That there is no such customer is a failure."""
    done = cli.run("get", "\x1bx")
    assert (done.status, done.out) == (1, "")
    assert done.err == "Error: there is no customer with the id '\\x1bx'\n"


def test_lookup(cli: CommandLine) -> None:
    """All that match all that is given are printed, a line each."""
    rows = [{"email": f"{n}@example.com", "firstName": "Ada", "lastName": f"L {n % 2}"}
            for n in range(4)]  # fmt: skip
    cli.imports(cli.write("x.jsonl", *rows, {"email": "b@example.com", "phone": "+4930123456"}))

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
    """A lookup goes through all pages."""
    rows = [{"email": f"{n}@example.com", "lastName": "L"} for n in range(2100)]
    cli.imports(cli.write("x.jsonl", *rows))
    lines = cli.run("lookup", "--last-name", "L").out.splitlines()
    assert len({line.split("\t")[2] for line in lines}) == len(lines) == 2100


def test_lookup_violations(cli: CommandLine) -> None:
    """What is wrong with a request is listed by its fields."""
    done = cli.run("lookup", "--phone", "1", "--mobile", "2")
    assert done.status == 1
    assert "\n  mobile: must be a phone number" in done.err
    assert "\n  phone: must be a phone number" in done.err


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(tmp_path: Path, tenant: str, *, mutual: bool) -> None:
    """TLS needs the server's authority, and a certificate where the server wants one."""
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
        cli = CommandLine(f"127.0.0.1:{app.ports[0]}", tenant, tmp_path)
        cli.environment["TWC_RETRY_FOR"] = "0"
        trusting = ("--ca", authority.certificate)
        showing = (*trusting, "--cert", own.certificate, "--key", own.key)
        statuses = [cli.run(*options, "export").status for options in ((), trusting, showing)]
    finally:
        app.stop()
    assert statuses == [1, 1 if mutual else 0, 0]


def test_unreadable_key(cli: CommandLine) -> None:
    """Files that are no certificates are a failure like any other."""
    done = cli.run("--ca", __file__, "--tls", "--retry-for", "0", "get", "1")
    assert done.status == 1
