"""Certificates, keys, origins and the log level change while the service runs, under load."""

import re
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.gateway.service import Service
from tests.gateway.stacks import http_headers
from tests.support.builders import NO_CUSTOMER
from tests.support.certificates import Authority, Pair
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.http_client import http_request
from tests.support.server_process import wait_until
from tests.support.tokens import Issuer, jwks, trusted_issuer
from twc_customer_gateway.supervisor import renewal
from twc_customer_gateway.supervisor.stack_settings import StackSettings
from twc_customer_server.concurrency import file_watch
from twc_customer_server.concurrency.file_watch import look_at

PORTS = ["gateway_port", "grpc_port"]

RENEWED = re.compile(r"certificates.* were read anew")
REFUSED = re.compile(
    r"TLS_KEY: must be the key of the certificate.*; what was read before is used on"
)

# Between two calls of a client, so that they leave the machine to the change.
_PAUSE_SECONDS = 0.01


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who certifies the service."""
    return Authority(tmp_path, "authority")


@pytest.fixture
def used(tmp_path: Path) -> Pair:
    """The files that the service is told of."""
    return Pair(tmp_path / "used.pem", tmp_path / "used.key")


def _use(pair: Pair, used: Pair) -> None:
    """Puts a pair in the place of the one that is used, file by file."""
    for new, old in zip(pair, used, strict=True):
        copy = old.with_suffix(".copy")
        copy.write_bytes(new.read_bytes())
        copy.replace(old)


def _shown(service: Service, port: str) -> str:
    """The name in the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    address = ("127.0.0.1", getattr(service.settings, port))
    with socket.create_connection(address, SECONDS) as plain, context.wrap_socket(plain) as secure:
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@contextmanager
def _load(service: Service, authority: Authority) -> Iterator[list[int]]:
    """Calls again and again meanwhile, on a kept and on new connections; all must succeed."""
    trusting = ssl.create_default_context(cafile=authority.certificate)
    url = f"https://127.0.0.1:{service.settings.gateway_port}/api/v2{NO_CUSTOMER}"
    statuses: list[int] = []
    is_over = False

    def call(*, keeps: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keeps else 0)
        options: dict[str, Any] = {"headers": http_headers("acme"), "timeout": SECONDS}
        with httpx.Client(verify=trusting, limits=limits, **options) as client:
            while not is_over:
                statuses.append(client.get(url).status_code)
                time.sleep(_PAUSE_SECONDS)

    calling = in_background([lambda: call(keeps=True), lambda: call(keeps=False)])
    try:
        yield statuses
    finally:
        is_over = True
    assert [it.exception(SECONDS) for it in calling] == [None, None]
    assert set(statuses) == {204}


def test_certificate(tmp_path: Path, authority: Authority, used: Pair) -> None:
    """New connections to both ports get a new certificate; a broken one is refused with a line."""
    first, second, third = (authority.issue(name) for name in ("first", "second", "third"))
    _use(first, used)
    tls = {"tls_certificate": used.certificate, "tls_key": used.key}

    with Service(tmp_path / "service", **tls) as service, _load(service, authority):
        assert [_shown(service, port) for port in PORTS] == ["first", "first"]
        _use(second, used)
        # The gateway's process and two workers.
        wait_until(lambda: len(_saying(service, RENEWED)) == 3)
        wait_until(lambda: {_shown(service, port) for port in PORTS} == {"second"})
        before = _saying(service, REFUSED)
        _use(Pair(third.certificate, first.key), used)
        wait_until(lambda: len(_saying(service, REFUSED) - before) == 3)
        assert [_shown(service, port) for port in PORTS] == ["second", "second"]
        _use(third, used)
        wait_until(lambda: {_shown(service, port) for port in PORTS} == {"third"})


def _saying(service: Service, event: re.Pattern[str]) -> Counter[int]:
    """How many such lines each process has in the log, by its id."""
    return Counter(line["pid"] for line in service.log() if event.fullmatch(line["event"]))


def test_envoy_restarted_with_a_broken_certificate(
    tmp_path: Path, authority: Authority, used: Pair
) -> None:
    """An Envoy that is started anew while a certificate is broken has the one before."""
    first, second = authority.issue("first"), authority.issue("second")
    _use(first, used)
    tls = {"tls_certificate": used.certificate, "tls_key": used.key}

    with Service(tmp_path / "service", workers=1, **tls) as service:
        used.certificate.write_bytes(second.certificate.read_bytes())
        wait_until(lambda: len(_saying(service, REFUSED)) == 2)
        service.envoy("public").kill()
        wait_until(lambda: bool(service.restarts()))
        wait_until(lambda: _is_shown(service, "first"))


def _is_shown(service: Service, name: str) -> bool:
    try:
        return _shown(service, "gateway_port") == name
    except OSError:
        return False


def test_settings_file(tmp_path: Path) -> None:
    """Origins and the log level follow the file; what cannot is said, and a wrong file refused."""
    file = tmp_path / "own.toml"
    file.write_text('cors_origins = ["https://a.example"]\nthreads = 4\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWC_SETTINGS_FILE", str(file))
        with _FileService(tmp_path / "service", workers=1) as service:
            assert _allowed(service, "https://a.example")
            file.write_text("cors_origins = 5\n")
            wait_until(lambda: _says(service, "CORS_ORIGINS") or _says(service, "cors_origins"))
            assert _allowed(service, "https://a.example")
            file.write_text(
                'cors_origins = ["https://b.example"]\nlog_level = "ERROR"\nthreads = 5\n'
            )
            wait_until(lambda: _allowed(service, "https://b.example"))
            assert not _allowed(service, "https://a.example")
            wait_until(lambda: _says(service, "THREADS will be as in the file with the next start"))
            wait_until(lambda: _says(service, "LOG_LEVEL is ERROR from now on"))
            [worker] = service.workers().values()
            worker.kill()
            wait_until(lambda: bool({*service.workers()} - {worker.pid}))
            wait_until(lambda: _call(service, "after").status_code == 204)
            time.sleep(0.2)
            assert not service.served("after")


class _FileService(Service):
    """A service that leaves to its settings file what that is to change."""

    of_file = frozenset({"CORS_ORIGINS", "LOG_LEVEL", "THREADS"})


def _says(service: Service, part: str) -> bool:
    return any(part in line["event"] for line in service.log())


def _allowed(service: Service, origin: str) -> bool:
    headers = {"origin": origin, "access-control-request-method": "GET"}
    url = f"http://127.0.0.1:{service.settings.gateway_port}"
    preflight = http_request("OPTIONS", f"{url}/api/v2/customers", headers=headers).status_code
    called = http_request("GET", f"{url}/livez", headers={"origin": origin})
    return preflight == 200 and called.headers.get("access-control-allow-origin") == origin


def _call(service: Service, label: str) -> httpx.Response:
    with service.http("acme", label) as http:
        return http.get(NO_CUSTOMER)


def test_keys(tmp_path: Path) -> None:
    """A key that is taken out of the file of keys is not accepted any more, and a new one is."""
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(trusted_issuer()))
    # A second issuer of that name, with another key.
    other = Issuer(key_id="key-2")
    new_token = f"Bearer {other.token(tenant='acme')}"
    with Service(tmp_path / "service", workers=1, jwks=str(file)) as service:
        assert _call(service, "").status_code == 204
        file.write_text("{")
        time.sleep(2.5)
        assert _call(service, "").status_code == 204
        file.write_bytes(jwks(other))
        wait_until(lambda: _call(service, "").status_code == 401)
        with service.http("acme") as http:
            answer = http.get(NO_CUSTOMER, headers={"authorization": new_token})
        assert answer.status_code == 204


class Clock:
    """A clock that a test sets; it goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time, a second after that of the look before."""
        self.now += 1
        return self.now


class Child:
    """Stands for the process that reads files anew."""

    # How those that are started end, one after the other; None hangs, then all succeed.
    ends: ClassVar[list[int | OSError | None]] = []
    started: ClassVar[list[Sequence[str]]] = []

    def __init__(self, name: str, command: Sequence[str], _: object) -> None:
        self.name = name
        self._command = command
        self.status: int | None = None
        self.is_running = False

    @property
    def exit_message(self) -> str:
        """How it ended."""
        return f"{self.name} ended with {self.status}"

    def start(self) -> None:
        """Starts it, or fails."""
        self.started.append(self._command)
        self.status = 0
        if self.ends:
            match self.ends.pop(0):
                case OSError() as error:
                    self.status = None
                    raise error
                case end:
                    self.status, self.is_running = end, end is None

    def kill(self) -> None:
        """Ends it."""
        self.status, self.is_running = -signal.SIGKILL, False


class Watched:
    """The renewal of a service that watches a file, and the processes that it starts."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        for module in (renewal, file_watch):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=self.clock))
        monkeypatch.setattr(renewal, "Process", Child)
        monkeypatch.setattr(Child, "ends", [])
        monkeypatch.setattr(Child, "started", [])
        self.level = "INFO"
        monkeypatch.setattr(StackSettings, "read", lambda _: SimpleNamespace(log_level=self.level))
        self.file = folder / "file"
        self.file.write_text("1")
        as_read = look_at([self.file])
        self._settings: Any = SimpleNamespace(watched=[str(self.file)], watched_as_read=as_read)
        self._folder = folder

    def watch(self) -> renewal.Renewal:
        """Begins to watch the file, which was read before."""
        return renewal.Renewal(self._folder, self._settings)

    def look(self, subject: renewal.Renewal, seconds: float) -> int:
        """Looks again and again for a time; returns how many processes were started."""
        end, before = self.clock.now + seconds, len(Child.started)
        while self.clock.now < end:
            subject.look()
        return len(Child.started) - before


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A file that is watched."""
    return Watched(tmp_path, monkeypatch)


FAILURES: dict[str, tuple[int | OSError | None, str]] = {
    "it cannot be started, as for want of memory": (BlockingIOError("no process"), "BlockingIOErr"),
    "it is killed": (-signal.SIGTERM, "renewal ended with -15"),
    "it says what is wrong": (renewal.WRONG_STATUS, "renewal ended with 65"),
    "a call of the system fails, as on a full disk": (renewal.FAILED_STATUS, "renewal ended with"),
    "it fails in another way": (1, "renewal ended with 1"),
}


@pytest.mark.parametrize(("failure", "said"), FAILURES.values(), ids=FAILURES)
def test_failed_renewal(
    watched: Watched,
    caplog: pytest.LogCaptureFixture,
    failure: int | OSError | None,
    said: str,
) -> None:
    """A renewal that fails is tried again until it succeeds, and what is wrong is said once."""
    subject = watched.watch()
    watched.file.write_text("longer")
    Child.ends += [failure] * 3
    assert watched.look(subject, 100) == 4
    [line] = caplog.messages
    assert line.startswith(f"changed files are not used, and tried again: {said}")
    told = failure if isinstance(failure, int) else 0
    assert [command[-2] for command in Child.started] == ["--again=0", *[f"--again={told}"] * 3]


def test_hanging_renewal(watched: Watched) -> None:
    """A renewal that hangs is ended after a time, and tried again."""
    subject = watched.watch()
    watched.file.write_text("longer")
    Child.ends.append(None)
    assert watched.look(subject, 25) == 1
    assert watched.look(subject, 60) == 1
    assert watched.look(subject, 60) == 0


def test_change_during_renewal(watched: Watched) -> None:
    """A file that changes while it is read is read anew."""
    subject = watched.watch()
    watched.file.write_text("longer")
    while not Child.started:
        subject.look()
    watched.file.write_text("longer still")
    assert watched.look(subject, 60) == 1


def test_change_during_start(watched: Watched) -> None:
    """A file that changes after it was read, and before it is watched, is read anew."""
    watched.file.write_text("longer")
    assert watched.look(watched.watch(), 60) == 1
