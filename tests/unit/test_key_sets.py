"""The keys of an issuer: where they are read, how long they are kept, and when they are renewed."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.support.tokens import Issuer, jwks
from tests.unit.identity import POLICY, Clock, Source, stop_clocks
from twc_customer_server.auth import key_sets
from twc_customer_server.auth.key_sets import REFRESH_AFTER, STALE_LIFETIMES, Keys, KeySet
from twc_customer_server.errors import Unavailable

OLD = Issuer(key_id="old")
NEW = Issuer(key_id="new")
FOREVER = 10
THREADS = 32

RENEWAL = REFRESH_AFTER * POLICY.lifetime
# The longest time of a test between two looks at a clock that stands still.
MOMENT = 0.01

ERRORS = {
    "no network": httpx.ConnectError("no route"),
    "no file": FileNotFoundError("jwks.json"),
    "no JWKS": ValueError("not a JWKS document"),
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the key sets."""
    return stop_clocks(monkeypatch)


class Background(ThreadPoolExecutor):
    """What is to be done in the background, which tests do when they want."""

    def __init__(self) -> None:
        super().__init__(1)
        self.waiting: list[Callable[[], Any]] = []

    def submit(self, do: Any, /, *args: Any, **named: Any) -> Future[Any]:
        """Keeps a task until the test does it."""
        self.waiting.append(lambda: do(*args, **named))
        return Future()

    def do(self) -> None:
        """Does what waits."""
        while self.waiting:
            self.waiting.pop(0)()


class Kept:
    """A key set of the key `old`, and all around it."""

    def __init__(self) -> None:
        self.source = Source(OLD)
        self.background = Background()
        self.keys = KeySet(self.source.read, POLICY, self.background)

    def has(self, key_id: str) -> bool:
        """Whether there is a key with an id."""
        return self.keys.find(key_id) is not None


@pytest.fixture
def kept(clock: Clock) -> Kept:
    """A key set whose clock stands at zero, and that was read then."""
    assert clock.now == 0
    kept = Kept()
    assert kept.has("old")
    return kept


def public(key: jwt.PyJWK | None) -> Any:
    """What makes one key equal another."""
    assert key
    return key.key.public_bytes_raw()


def test_read_when_first_asked() -> None:
    """Keys are read when one is first wanted, and not before."""
    source = Source(OLD, NEW)
    key_set = KeySet(source.read, POLICY, Background())
    assert source.reads == 0
    assert public(key_set.find("new")) == NEW.key.public_key().public_bytes_raw()
    assert public(key_set.find("old")) == OLD.key.public_key().public_bytes_raw()
    assert source.reads == 1


def test_read_once_for_many(kept: Kept, clock: Clock) -> None:
    """Keys are not read again before the end of their lifetime comes near."""
    clock.now = RENEWAL - MOMENT
    assert all(kept.has("old") for _ in range(100))
    assert (kept.source.reads, kept.background.waiting) == (1, [])


def test_renewed_in_the_background(kept: Kept, clock: Clock) -> None:
    """Near the end of their lifetime keys are renewed once, while those at hand are given."""
    kept.source.publish(NEW)
    clock.now = RENEWAL
    assert [kept.has("old") for _ in range(100)] == [True] * 100
    assert (kept.source.reads, len(kept.background.waiting)) == (1, 1)
    kept.background.do()
    assert (kept.has("old"), kept.has("new"), kept.source.reads) == (False, True, 2)


def test_lifetime_after_background_renewal(kept: Kept, clock: Clock) -> None:
    """Keys that were renewed in the background are good for a lifetime from then on."""
    clock.now = RENEWAL
    assert kept.has("old")
    kept.background.do()
    kept.source.publish(NEW)
    clock.now = RENEWAL + RENEWAL - MOMENT
    assert (kept.has("old"), kept.source.reads, kept.background.waiting) == (True, 2, [])
    assert clock() < kept.keys.good_until < clock() + POLICY.lifetime


def test_renewed_at_the_end(kept: Kept, clock: Clock) -> None:
    """When their lifetime is over keys are renewed before any is given."""
    kept.source.publish(NEW)
    clock.now = POLICY.lifetime + MOMENT
    assert (kept.has("old"), kept.has("new"), kept.source.reads) == (False, True, 2)


def test_late_background_renewal(kept: Kept, clock: Clock) -> None:
    """A background renewal that comes after the keys were renewed reads nothing."""
    clock.now = RENEWAL
    assert kept.has("old")
    clock.now = POLICY.lifetime + MOMENT
    assert kept.has("old")
    kept.background.do()
    assert kept.source.reads == 2


def test_unknown_key(kept: Kept, clock: Clock) -> None:
    """An unknown key id causes one read, and no more until the cool-down is over."""
    clock.now = 20
    assert not any(kept.has(f"forged-{number}") for number in range(100))
    assert kept.source.reads == 2
    clock.now = 20 + POLICY.cooldown - MOMENT
    assert not kept.has("forged")
    assert kept.source.reads == 2
    clock.now = 20 + POLICY.cooldown + MOMENT
    assert not any(kept.has(f"forged-{number}") for number in range(100))
    assert kept.source.reads == 3


def test_unknown_key_after_recent_read(kept: Kept, clock: Clock) -> None:
    """An unknown key id causes no read while any other was a cool-down ago."""
    clock.now = POLICY.cooldown - MOMENT
    assert not kept.has("forged")
    assert kept.source.reads == 1


def test_new_key(kept: Kept, clock: Clock) -> None:
    """A key that was published since the last read is found as soon as it is used."""
    clock.now = 20
    kept.source.publish(OLD, NEW)
    assert kept.has("old")
    assert kept.source.reads == 1
    assert kept.has("new")
    assert kept.has("old")
    assert kept.source.reads == 2


def test_lifetime_after_unknown_key(kept: Kept, clock: Clock) -> None:
    """The keys that are read for an unknown id are good for a lifetime, and no old key is."""
    clock.now = 20
    kept.source.publish(NEW)
    assert [kept.has("new"), kept.has("old")] == [True, False]
    clock.now = 20 + RENEWAL - MOMENT
    assert kept.has("new")
    assert (kept.source.reads, kept.background.waiting) == (2, [])


class Slow:
    """A source whose reads take until the test ends them."""

    def __init__(self, source: Source) -> None:
        self.begun = threading.Event()
        self.end = threading.Event()
        self._source = source

    def read(self) -> Keys:
        """Reads when the test lets it."""
        self.begun.set()
        assert self.end.wait(FOREVER)
        return self._source.read()


def slowed(source: Source) -> tuple[KeySet, Slow]:
    """A key set that was read, and whose next reads are slow."""
    slow = Slow(source)
    key_set = KeySet(slow.read, POLICY, Background())
    slow.end.set()
    assert key_set.find("old")
    slow.begun.clear()
    slow.end.clear()
    return key_set, slow


def eventually(is_so: Callable[[], bool]) -> None:
    """Waits until something is so, which it must be soon."""
    deadline = time.monotonic() + FOREVER
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def at_once(key_set: KeySet, slow: Slow, clock: Clock, key_ids: list[str]) -> list[bool]:
    """Looks for keys in a thread each, all during the first one's read; tells which there are."""
    looks = clock.looks
    with ThreadPoolExecutor(len(key_ids)) as pool:
        first = pool.submit(key_set.find, key_ids[0])
        assert slow.begun.wait(FOREVER)
        others = [pool.submit(key_set.find, key_id) for key_id in key_ids[1:]]
        # The threads have looked at the clock: they go on to look for their keys.
        eventually(lambda: clock.looks >= looks + len(key_ids))
        # Those who need not wait for the read are done by now.
        wait(others, timeout=0.05)
        slow.end.set()
        return [found.result(FOREVER) is not None for found in (first, *others)]


def test_first_read_of_many_threads(clock: Clock) -> None:
    """Threads that want keys while these are first read share that read."""
    source = Source(OLD)
    slow = Slow(source)
    key_set = KeySet(slow.read, POLICY, Background())
    assert at_once(key_set, slow, clock, ["old"] * THREADS) == [True] * THREADS
    assert source.reads == 1


def test_renewal_of_many_threads(clock: Clock) -> None:
    """Threads that want keys whose lifetime is over share one read, and get the new keys."""
    source = Source(OLD)
    key_set, slow = slowed(source)
    source.publish(NEW)
    clock.now = POLICY.lifetime + MOMENT
    assert at_once(key_set, slow, clock, ["new", "old"] * (THREADS // 2)) == [True, False] * (
        THREADS // 2
    )
    assert source.reads == 2


def test_unknown_keys_of_many_threads(clock: Clock) -> None:
    """Threads with forged key ids at once cause one read together."""
    source = Source(OLD)
    key_set, slow = slowed(source)
    clock.now = 20
    key_ids = [f"forged-{number}" for number in range(THREADS)]
    assert at_once(key_set, slow, clock, key_ids) == [False] * THREADS
    assert source.reads == 2


def test_new_key_of_many_threads(clock: Clock) -> None:
    """A new key is found by all threads that want it while it is read, not by the first alone."""
    source = Source(OLD)
    key_set, slow = slowed(source)
    source.publish(OLD, NEW)
    clock.now = 20
    assert at_once(key_set, slow, clock, ["new"] * THREADS) == [True] * THREADS
    assert source.reads == 2


def test_known_key_during_read(clock: Clock) -> None:
    """A known key is given at once while another thread has the keys read for an unknown one."""
    key_set, slow = slowed(Source(OLD))
    clock.now = 20
    with ThreadPoolExecutor(1) as pool:
        forged = pool.submit(key_set.find, "forged")
        assert slow.begun.wait(FOREVER)
        assert key_set.find("old")
        assert not forged.done()
        slow.end.set()
        assert forged.result(FOREVER) is None


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_keys_never_read(clock: Clock, error: Exception) -> None:
    """Without any keys the answer is not that there is none, but that nobody knows."""
    source = Source(OLD)
    source.error = error
    key_set = KeySet(source.read, POLICY, Background())
    for moment in (0, MOMENT, POLICY.cooldown - MOMENT):
        clock.now = moment
        with pytest.raises(Unavailable, match="cannot be fetched"):
            key_set.find("old")
    assert source.reads == 1


def test_recovery(clock: Clock) -> None:
    """Keys that could not be read are there a cool-down after they can."""
    source = Source(OLD)
    source.error = OSError("no route")
    key_set = KeySet(source.read, POLICY, Background())
    with pytest.raises(Unavailable):
        key_set.find("old")
    source.error = None
    clock.now = POLICY.cooldown + MOMENT
    assert key_set.find("old")
    assert source.reads == 2
    assert key_set.good_until > clock() + POLICY.lifetime - 1


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_stale_keys(kept: Kept, clock: Clock, error: Exception) -> None:
    """Keys that cannot be renewed stay in use for some lifetimes, and are tried now and then."""
    kept.source.error = error
    clock.now = POLICY.lifetime + MOMENT
    assert all(kept.has("old") for _ in range(100))
    assert kept.source.reads == 2
    clock.now += POLICY.cooldown
    assert all(kept.has("old") for _ in range(100))
    assert kept.source.reads == 3
    clock.now = STALE_LIFETIMES * POLICY.lifetime - MOMENT
    assert kept.has("old")
    clock.now = STALE_LIFETIMES * POLICY.lifetime + MOMENT
    with pytest.raises(Unavailable, match="cannot be fetched"):
        kept.has("old")


def test_lifetime_of_stale_keys(kept: Kept, clock: Clock) -> None:
    """What stale keys prove is proven until they are tried to be renewed again."""
    kept.source.error = OSError("no route")
    clock.now = POLICY.lifetime + MOMENT
    assert kept.has("old")
    assert clock.now < kept.keys.good_until <= clock() + POLICY.cooldown


def test_failed_background_renewal(kept: Kept, clock: Clock) -> None:
    """A background renewal that fails costs nobody anything, and is made up for."""
    kept.source.error = OSError("no route")
    clock.now = RENEWAL
    assert kept.has("old")
    kept.background.do()
    assert (kept.has("old"), kept.source.reads) == (True, 2)
    kept.source.error = None
    kept.source.publish(NEW)
    clock.now = RENEWAL + POLICY.cooldown + MOMENT
    assert (kept.has("new"), kept.has("old"), kept.source.reads) == (True, False, 3)


def test_recovery_of_stale_keys(kept: Kept, clock: Clock) -> None:
    """Keys that were too stale to use are renewed as soon as they can be."""
    kept.source.error = OSError("no route")
    clock.now = STALE_LIFETIMES * POLICY.lifetime + MOMENT
    with pytest.raises(Unavailable):
        kept.has("old")
    kept.source.error = None
    clock.now += POLICY.cooldown + MOMENT
    assert kept.has("old")


def test_unforeseen_error_of_a_read(kept: Kept, clock: Clock) -> None:
    """A read that fails in an unforeseen way frees the key set for the next."""
    kept.source.error = ZeroDivisionError()
    clock.now = POLICY.lifetime + MOMENT
    with pytest.raises(ZeroDivisionError):
        kept.has("old")
    kept.source.error = None
    clock.now += POLICY.cooldown
    assert kept.has("old")


def test_location_in_warning(kept: Kept, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """That keys cannot be read is logged, by the kind of error alone."""
    kept.source.error = OSError("https://user:password@id.example")
    clock.now = POLICY.lifetime + MOMENT
    kept.has("old")
    assert [(it.levelname, it.getMessage()) for it in caplog.records] == [
        ("WARNING", "the keys of an issuer cannot be fetched: OSError")
    ]


# What a JWKS document lists.

EC_JWK = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
LEFT_OUT: dict[str, Any] = {
    "key that encrypts": NEW.jwk() | {"use": "enc"},
    "unknown use": NEW.jwk() | {"use": "other"},
    "unknown type": NEW.jwk() | {"kty": "XYZ"},
    "no type": {"kid": "new", "use": "sig"},
    "unknown curve": NEW.jwk() | {"crv": "Ed1", "alg": None},
    "unknown algorithm": NEW.jwk() | {"alg": "XY256"},
    "algorithm of another type": NEW.jwk() | {"alg": "RS256"},
    "no key": NEW.jwk() | {"x": ""},
    "key cut": NEW.jwk() | {"x": NEW.jwk()["x"][:-4]},
    "key of a number": NEW.jwk() | {"x": 7},
    "key that is no base64": NEW.jwk() | {"x": "!"},
    "no point of the curve": EC_JWK | {"kid": "new", "x": EC_JWK["y"], "y": EC_JWK["x"]},
    "no kid": {name: value for name, value in NEW.jwk().items() if name != "kid"},
    "empty kid": NEW.jwk() | {"kid": ""},
    "kid null": NEW.jwk() | {"kid": None},
    "string": "new",
    "null": None,
    "list": [NEW.jwk()],
    "nothing": {},
}
NO_JWKS = {
    "empty": b"",
    "no JSON": b"<html></html>",
    "not UTF-8": b'{"keys": ["\xff"]}',
    "list": json.dumps([OLD.jwk()]).encode(),
    "single key": json.dumps(OLD.jwk()).encode(),
    "other object": b'{"error": "not found"}',
    "null": b"null",
    "keys null": b'{"keys": null}',
    "keys an object": b'{"keys": {}}',
    "cut": jwks(OLD)[:-1],
}


def listing(*entries: Any) -> bytes:
    """A JWKS document of any entries."""
    return json.dumps({"keys": entries}).encode()


@pytest.mark.parametrize("entry", LEFT_OUT.values(), ids=LEFT_OUT)
def test_parse_unusable_keys(entry: Any) -> None:
    """What cannot be used to verify a token is left out, and costs no other key."""
    assert key_sets.parse(listing(entry, OLD.jwk())).keys() == {"old"}
    assert key_sets.parse(listing(OLD.jwk(), entry)).keys() == {"old"}


@pytest.mark.parametrize("absent", ["use", "alg"])
def test_parse_without_optional_members(absent: str) -> None:
    """A key need not say its use and its algorithm."""
    entry = {name: value for name, value in NEW.jwk().items() if name != absent}
    [key] = key_sets.parse(listing(entry)).values()
    assert (key.algorithm_name, public(key)) == (
        "EdDSA",
        NEW.key.public_key().public_bytes_raw(),
    )


def test_parse_unknown_members() -> None:
    """Members that are not known, of keys and of the document, change nothing."""
    entry = NEW.jwk() | {"x5t": "abc", "other": [1]}
    assert key_sets.parse(json.dumps({"keys": [entry], "other": 1}).encode()).keys() == {"new"}


def test_parse_empty_list() -> None:
    """A JWKS document may list no key."""
    assert key_sets.parse(listing()) == {}


@pytest.mark.parametrize("document", NO_JWKS.values(), ids=NO_JWKS)
def test_parse_invalid_document(document: bytes) -> None:
    """What is no JWKS document is an error: the keys at hand stay."""
    with pytest.raises(ValueError, match=r".+"):
        key_sets.parse(document)


# Where a JWKS document is read.


class Site(ThreadingHTTPServer):
    """A web server that answers with what the test wants, and counts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = jwks(OLD)
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """Where the JWKS document is."""
        return f"http://127.0.0.1:{self.server_port}/jwks.json"


class Page(BaseHTTPRequestHandler):
    """A page of a site."""

    def do_GET(self) -> None:
        """Answers as the test wants."""
        assert isinstance(self.server, Site)
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on a port of its own."""
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


def test_read_file(tmp_path: Path) -> None:
    """Keys are read from a file, as it is at the time."""
    location = tmp_path / "jwks.json"
    for issuer in (OLD, NEW):
        location.write_bytes(jwks(issuer))
        assert key_sets.fetch(str(location)).keys() == {issuer.key_id}


@pytest.mark.parametrize("name", ["none.json", "."], ids=["no file", "folder"])
def test_read_no_file(tmp_path: Path, name: str) -> None:
    """A file that cannot be read is an error."""
    with pytest.raises(OSError, match=r".+"):
        key_sets.fetch(str(tmp_path / name))


def test_read_spoilt_file(tmp_path: Path) -> None:
    """A file that is no JWKS document is an error."""
    location = tmp_path / "jwks.json"
    location.write_text("[]")
    with pytest.raises(ValueError, match="not a JWKS document"):
        key_sets.fetch(str(location))


def test_read_url(site: Site) -> None:
    """Keys are fetched from a URL, whatever content type the issuer gives them."""
    site.headers = {"content-type": "text/plain; charset=latin-1"}
    assert key_sets.fetch(site.url).keys() == {"old"}
    assert site.paths == ["/jwks.json"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_read_url_with_redirect(site: Site, status: int) -> None:
    """A redirect is not followed, and is no answer, whatever comes with it."""
    site.status = status
    site.headers = {"location": "/other.json"}
    with pytest.raises(httpx.HTTPStatusError):
        key_sets.fetch(site.url)
    assert site.paths == ["/jwks.json"]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 502, 503])
def test_read_url_with_error(site: Site, status: int) -> None:
    """An error of the issuer is an error, though keys come with it."""
    site.status = status
    with pytest.raises(httpx.HTTPStatusError):
        key_sets.fetch(site.url)


@pytest.mark.parametrize("status", [404, 410])
def test_read_url_of_nothing(site: Site, status: int) -> None:
    """An issuer that says there is nothing is as a file that is not there."""
    site.status = status
    with pytest.raises(FileNotFoundError):
        key_sets.fetch(site.url)


def test_read_url_of_no_jwks(site: Site) -> None:
    """An answer that is no JWKS document is an error."""
    site.body = b"<html></html>"
    with pytest.raises(ValueError, match=r".+"):
        key_sets.fetch(site.url)


def test_read_unreachable_url(site: Site) -> None:
    """An issuer that is not there is an error."""
    url = site.url
    site.server_close()
    with pytest.raises(httpx.HTTPError):
        key_sets.fetch(url)


def test_read_realm(site: Site, tmp_path: Path) -> None:
    """A realm that is not there has no keys; one that cannot be read now is an error."""
    assert key_sets.fetch_realm(site.url).keys() == {"old"}
    assert key_sets.fetch_realm(str(tmp_path / "none.json")) == {}
    site.status = 404
    assert key_sets.fetch_realm(site.url) == {}
    site.status = 500
    with pytest.raises(httpx.HTTPStatusError):
        key_sets.fetch_realm(site.url)


def test_url_with_changing_keys(site: Site, clock: Clock) -> None:
    """Over HTTP as from a file: one fetch for many tokens, and the new keys after a lifetime."""
    key_set = KeySet(lambda: key_sets.fetch(site.url), POLICY, Background())
    assert all(key_set.find("old") for _ in range(100))
    assert len(site.paths) == 1
    site.body = jwks(NEW)
    clock.now = POLICY.lifetime + MOMENT
    assert key_set.find("old") is None
    assert key_set.find("new")
    assert len(site.paths) == 2
