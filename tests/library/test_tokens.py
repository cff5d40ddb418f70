"""Tokens come from where the caller says, and are renewed in time."""

import asyncio
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.library.kinds import MakeClient, make_client
from tests.support.builders import UNKNOWN_ID
from tests.support.client import SECONDS
from tests.support.in_process import InProcessServer
from tests.support.issuers import Answer, IssuerSite, dripping, publishing
from tests.support.server_process import wait_until
from tests.support.tokens import token_for, trusted_issuer
from twc_customer_client import ClientCredentials, OAuthClient, TokenFile, errors
from twc_customer_client.credentials import TokenError


def answering(*tokens: str, expires_in: float | None = 3600) -> Answer:
    """Answers with one token after another, and the last one for ever."""
    remaining = list(tokens)

    def answer(connection: socket.socket, path: str) -> None:
        token = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        body = {"access_token": token} | ({"expires_in": expires_in} if expires_in else {})
        publishing(json.dumps(body).encode())(connection, path)

    return answer


def credentials(site: IssuerSite) -> ClientCredentials:
    """Tokens of an issuer."""
    return ClientCredentials(OAuthClient("client", "secret", token_url=f"{site.url}/token"))


def is_served(client: Any) -> bool:
    """Tells whether the service takes a client's token."""
    try:
        client.get(UNKNOWN_ID)
    except errors.Unauthenticated:
        return False
    except errors.NotFound:
        return True
    raise AssertionError


def expired(tenant: str) -> str:
    """A token that the service rejects."""
    return trusted_issuer().token(tenant=tenant, exp=1)


def test_rotated_file(
    connect: MakeClient, server: InProcessServer, tenant: str, token_file: Path
) -> None:
    """A token file is read again when it is written, or replaced by another."""
    token_file.write_text("not-yet\n")
    client = connect(server.address, token=TokenFile(token_file))
    assert not is_served(client)

    token_file.write_text(f"{token_for(tenant)}\n")
    assert is_served(client)

    other = token_file.with_name("other")
    other.write_text(expired(tenant))
    other.replace(token_file)
    assert not is_served(client)
    token_file.unlink()
    with pytest.raises(TokenError, match="cannot be read: No such file"):
        client.get(UNKNOWN_ID)


def test_file_of_same_age(token_file: Path) -> None:
    """A file is read only if it has changed; a rejected token has it read in any case."""
    token_file.write_text("a")
    tokens = TokenFile(token_file)
    assert tokens.current() == "a"
    status = token_file.stat()
    token_file.write_text("b")
    os.utime(token_file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert tokens.current() == "a"
    assert tokens.renew("a")
    assert tokens.current() == "b"
    assert not tokens.renew("b")


def test_function(connect: MakeClient, server: InProcessServer, tenant: str) -> None:
    """A function is asked for each call, and once more after a rejection."""
    tokens = [token_for(tenant), expired(tenant), token_for(tenant)]
    asked: list[str] = []

    def token() -> str:
        asked.append(tokens.pop(0))
        return asked[-1]

    client = connect(server.address, token=token)
    assert is_served(client)
    # The second is rejected; the third is the one that `renew` finds, and the fourth is sent.
    tokens.append(token_for(tenant))
    assert is_served(client)
    assert len(asked) == 4


def test_awaited_function(server: InProcessServer, tenant: str) -> None:
    """The asynchronous client awaits a coroutine function, as it calls others."""
    tokens = [expired(tenant), token_for(tenant), token_for(tenant)]

    async def token() -> str:
        await asyncio.sleep(0)
        return tokens.pop(0)

    client = make_client("async", server.address, tenant=tenant, token=token)
    assert is_served(client)
    assert tokens == []
    client.close()


@pytest.mark.parametrize("token", ["", " \n", "a b", "ä"])
def test_no_token(connect: MakeClient, token: str) -> None:
    """What cannot be a token is refused at once."""
    with pytest.raises(TokenError, match="characters that no bearer token has"):
        connect("127.0.0.1:1", token=token)


def test_rejected_token(connect: MakeClient, server: InProcessServer, tenant: str) -> None:
    """A token that the service rejects is renewed once, and the call repeated."""
    with IssuerSite(answering(expired(tenant), token_for(tenant))) as site:
        assert is_served(connect(server.address, token=credentials(site)))
        assert len(site.paths) == 2
    with IssuerSite(answering(expired(tenant))) as site:
        assert not is_served(connect(server.address, token=credentials(site)))
        assert len(site.paths) == 2


def test_silent_issuer(connect: MakeClient, server: InProcessServer) -> None:
    """An issuer that gives no token is an error of the call."""
    with IssuerSite(publishing(b'{"error": "invalid_client"}', "401 Unauthorized")) as site:
        client = connect(server.address, token=credentials(site))
        with pytest.raises(TokenError, match=r"returned no token: invalid_client \(HTTP 401\)"):
            client.get(UNKNOWN_ID)


def test_one_renewal_at_a_time() -> None:
    """Threads that need a token at the same time get it by one request."""
    with IssuerSite(answering("a")) as site, ThreadPoolExecutor(8) as threads:
        tokens = credentials(site)
        assert {*threads.map(lambda _: tokens.current(), range(8))} == {"a"}
        assert len(site.paths) == 1
        assert tokens.is_at_hand()
        # All of them were told that it is rejected.
        site.answer = answering("b")
        assert all(threads.map(lambda _: tokens.renew("a"), range(8)))
        assert len(site.paths) == 2
        assert tokens.current() == "b"


def test_renewal_before_the_end() -> None:
    """A token that is about to end is renewed by one thread; the others go on with it."""
    let_go = threading.Event()

    def slowly(connection: socket.socket, path: str) -> None:
        let_go.wait(SECONDS)
        answering("b")(connection, path)

    # It is to be renewed at once, and ends only later than the test.
    with IssuerSite(answering("a", expires_in=10_000)) as site, ThreadPoolExecutor(8) as threads:
        tokens = credentials(site)
        tokens.current()
        tokens._held = tokens._held and tokens._held._replace(renew_at=time.monotonic())  # noqa: SLF001
        site.answer = slowly
        renewing = threads.submit(tokens.current)
        wait_until(lambda: site.running == 1)
        assert tokens.current() == "a"
        assert not renewing.done()
        let_go.set()
        assert renewing.result() == "b"
        assert len(site.paths) == 2


def test_renewal_that_fails() -> None:
    """A token that cannot be renewed is used until it ends."""
    with IssuerSite(answering("a", expires_in=10_000)) as site:
        tokens = credentials(site)
        tokens.current()
        tokens._held = tokens._held and tokens._held._replace(renew_at=time.monotonic())  # noqa: SLF001
        site.answer = publishing(b"", "503 Service Unavailable")
        assert tokens.current() == "a"
        assert tokens.current() == "a"
        assert len(site.paths) == 2
        tokens._held = tokens._held and tokens._held._replace(ends_at=time.monotonic())  # noqa: SLF001
        with pytest.raises(TokenError):
            tokens.current()


def test_issuer_is_needed() -> None:
    """An OAuth client without an issuer is refused."""
    with pytest.raises(ValueError, match="issuer or its token endpoint"):
        ClientCredentials(OAuthClient("client", "secret"))


@pytest.mark.parametrize("at", [0, 100], ids=["headers", "body"])
def test_slow_issuer(at: int) -> None:
    """An issuer that sends a byte now and then is given up when the time is over."""
    site = IssuerSite(dripping(b'{"access_token": "%b"}' % (b"a" * SECONDS * 20), at))
    with site, ThreadPoolExecutor(1) as threads:
        tokens = ClientCredentials(OAuthClient("id", "s", token_url=f"{site.url}/token"), 0.3)
        with pytest.raises(TokenError, match=r"/token gave no token within \d+\.\d s"):
            threads.submit(tokens.current).result(SECONDS)


def test_shared_failure() -> None:
    """Threads that wait for the same token fail together, by one request."""
    let_go = threading.Event()

    def refuse(connection: socket.socket, path: str) -> None:
        let_go.wait(SECONDS)
        publishing(b"", "503 Service Unavailable")(connection, path)

    with IssuerSite(refuse) as site, ThreadPoolExecutor(8) as threads:
        tokens = credentials(site)
        waiting = [threads.submit(tokens.current) for _ in range(8)]
        wait_until(lambda: tokens._attempt is not None and len(tokens._attempt.waiting) == 8)  # noqa: SLF001
        let_go.set()
        assert [type(each.exception()) for each in waiting] == [TokenError] * 8
        assert len(site.paths) == 1
        # The next one tries again.
        site.answer = answering("a")
        assert tokens.current() == "a"


def test_call_timeout(connect: MakeClient, server: InProcessServer, tenant: str) -> None:
    """A call waits for a token as long as it has time, also for one in place of a rejected."""
    let_go = threading.Event()

    def hang(_connection: socket.socket, _path: str) -> None:
        let_go.wait(SECONDS)

    late = r"/token gave no token within \d+\.\d s"
    with IssuerSite(hang) as site:
        client = connect(server.address, token=credentials(site))
        with pytest.raises(TokenError, match=late):
            client.get(UNKNOWN_ID, timeout=0.2)
        hasty = connect(server.address, token=credentials(site), timeout=0.2)
        with pytest.raises(TokenError, match=late):
            hasty.get(UNKNOWN_ID)
        site.answer = answering(expired(tenant))
        rejected = connect(server.address, token=credentials(site))
        assert not is_served(rejected)
        site.answer = hang
        with pytest.raises(TokenError, match=late):
            rejected.get(UNKNOWN_ID, timeout=2)
        let_go.set()
