"""`make run` and `make token`, as the person at the terminal sees them."""

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.gateway.service import Service
from tests.support import forks
from tests.support.ports import held_port
from tests.support.server_process import wait_until
from tests.support.servers import of_workers
from tests.support.way_to_serve import SERVE
from twc_customer_gateway import configuring

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
SERVICE = [sys.executable, "-m", "twc_customer_gateway"]

# Modules that the supervisor, which lives as long as the service, must do without.
HEAVY = {"cryptography", "google", "grpc", "jwt", "peewee", "pydantic", "twc"}

# What the service starts: two Envoys, and a worker unless that is inside one of them.
PROCESSES = {"workers": 3, "inprocess": 2}[SERVE]

STOPPING = "The Customer API is stopping; Ctrl-C again does not wait for calls in progress.\n"

# Signals, and whether they go to the whole process group, as that of Ctrl-C does.
STOPS = {
    "SIGTERM": (signal.SIGTERM, False),
    "SIGTERM to all": (signal.SIGTERM, True),
    "Ctrl-C": (signal.SIGINT, True),
}


@pytest.fixture
def environment(own_database: dict[str, Any], tmp_path: Path) -> Iterator[dict[str, str]]:
    """Development mode, with ports and data of the test's own."""
    with held_port() as gateway, held_port() as native:
        chosen = own_database | {"data_dir": tmp_path / "data", "development": "true"}
        chosen |= {"gateway_port": gateway, "grpc_port": native, "serve": SERVE}
        yield os.environ | {name.upper(): str(value) for name, value in chosen.items()}


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command that `make run` runs, in a session of its own as in a terminal."""
    with _running(SERVICE, environment) as process:
        yield process


@pytest.fixture
def make_run(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`make run` itself, with what the tests have installed."""
    venv = sys.prefix
    command = [MAKE, f"--old-file={venv}/contract", f"VENV={venv}", "run"]
    with _running(command, _outside_make(environment)) as process:
        yield process


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, as in a terminal, with all its output in one."""
    with subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _of(package: str, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a command, without what the server has no use for, and would say so."""
    of_gateway = {"GATEWAY_PORT", "SERVE"} if package == "twc_customer_server" else set()
    return {name: it for name, it in environment.items() if name not in of_gateway}


def _outside_make(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what a make that runs the tests has put into it."""
    of_make = ("MAKE", "MFLAGS")
    return {name: it for name, it in environment.items() if not name.startswith(of_make)}


def _curl(command: list[str]) -> dict[str, Any]:
    """Sends what a curl command would, on machines that may lack curl."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X")
    parser.add_argument("-H", action="append")
    parser.add_argument("-d")
    parser.add_argument("url")
    asked = parser.parse_args(command[1:])
    headers = dict(header.split(": ") for header in asked.H)
    answer: dict[str, Any] = httpx.request(
        asked.X, asked.url, content=asked.d, headers=headers
    ).json()
    return answer


def _ready(service: subprocess.Popen[str]) -> str:
    """What the service prints up to the end of its last example."""
    assert service.stdout
    printed = ""
    for line in service.stdout:
        printed += line
        if "/twc.customer.v2.CustomerService/" in line:
            return printed
    raise AssertionError(f"the service ended with status {service.wait()}")


@pytest.mark.parametrize(
    ("backend", "docs", "said"),
    [("sqlite", "true", "/docs, or in another"), ("postgresql", "false", "Try it in")],
    indirect=["backend"],
)
def test_pasted_examples(environment: dict[str, str], docs: str, said: str) -> None:
    """The lines that a ready service prints, to try it, work when pasted into a shell.

    They name the page to try it on, if it has one.
    """
    with _running(SERVICE, environment | {"DOCS": docs}) as service:
        printed = _ready(service)
        created, found = _paste(printed, environment)

    assert created["email"] == "ada@example.com"
    assert b'"firstName": "Ada"' in found
    assert said in printed
    assert ("/docs, " in printed) == (docs == "true")


def _paste(printed: str, environment: dict[str, str]) -> tuple[dict[str, Any], bytes]:
    """The answers to a create and a lookup as they are printed, with the token of the first."""
    [command] = re.findall(r"^  TOKEN=\$\((.*)\)$", printed, re.MULTILINE)
    made = subprocess.run(
        shlex.split(command), env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    token = made.stdout.decode().removesuffix("\n")
    create, lookup = (
        shlex.split(example.replace("\\\n", "").replace("$TOKEN", token))
        for example in re.findall(r"^  ((?:.*\\\n)+.*)$", printed, re.MULTILINE)
    )

    created = _curl(create)
    return created, subprocess.run(lookup, capture_output=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize(("had", "is_made_anew"), [(["python"], True), (["python", "pip"], False)])
def test_environment(tmp_path: Path, had: list[str], *, is_made_anew: bool) -> None:
    """An environment whose creation was broken off is made anew, and a complete one is kept."""
    (tmp_path / "bin").mkdir()
    for name in had:
        (tmp_path / "bin" / name).touch()
    command = [MAKE, "--dry-run", f"VENV={tmp_path}", f"{tmp_path}/bin/pip"]
    environment = _outside_make({**os.environ})
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=ROOT)
    assert (b"-m venv --clear" in printed.stdout) is is_made_anew


def test_demo(tmp_path: Path) -> None:
    """The demo fills a tenant of the service, once; its examples are of that service."""
    arguments = ["-m", "bench.demo", "--tenant", "shop", "--customers", "50"]
    with Service(tmp_path, development=True, workers=1) as service:
        environment = os.environ | service.settings.environment()
        first, second = (forks.run(arguments, environment).stdout for _ in range(2))

    assert first.startswith("50 created, 0 unchanged, 0 skipped\n")
    assert second.startswith("0 created, ")
    assert f"http://127.0.0.1:{service.settings.gateway_port}/api/v2/customers" in first
    assert "make -s token TENANT=shop" in first


def test_demo_without_a_service(environment: dict[str, str]) -> None:
    """The demo says in one line what is missing."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"no service answers on 127.0.0.1:{environment['GRPC_PORT']} (")
    assert "start `make run` in another terminal first" in line


def test_stop_by_interrupt(service: subprocess.Popen[str]) -> None:
    """SIGINT ends every process and frees both ports."""
    ports = [int(port) for port in re.findall(r"on 127\.0\.0\.1:(\d+)", _ready(service))]
    children = psutil.Process(service.pid).children()

    service.send_signal(signal.SIGINT)

    assert service.wait(timeout=20) == 0
    assert len(children) == PROCESSES
    assert not [child for child in children if child.is_running()]
    for port in ports:
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


@pytest.mark.parametrize(("number", "to_all"), STOPS.values(), ids=STOPS)
def test_signal_to_make(
    make_run: subprocess.Popen[str],
    number: signal.Signals,
    to_all: bool,  # noqa: FBT001
) -> None:
    """A signal to make, or to all in its terminal, ends the service, which says so in a line."""
    _ready(make_run)
    descendants = psutil.Process(make_run.pid).children(recursive=True)

    (os.killpg if to_all else os.kill)(make_run.pid, number)

    printed, _ = make_run.communicate(timeout=20)
    _, alive = psutil.wait_procs(descendants, timeout=0)
    assert len(descendants) == PROCESSES + 1
    assert not alive
    # By its own signal, which make passes on to whoever waits for it.
    assert make_run.returncode == -number
    assert [line for line in printed.splitlines(keepends=True) if line != "\n"] == [STOPPING]


def test_stop_while_configuring(environment: dict[str, str]) -> None:
    """A signal at the very beginning ends the service as well."""
    with _running(SERVICE, environment) as process:
        wait_until(lambda: bool(psutil.Process(process.pid).children()))
        children = psutil.Process(process.pid).children()
        process.terminate()
        printed, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert STOPPING in printed
    assert not [child for child in children if child.is_running()]


def test_modules_of_supervisor() -> None:
    """The process that only watches the others loads nothing that they need."""
    code = "import sys, twc_customer_gateway.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "twc_customer_gateway.supervisor.stack" in loaded
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)


def test_written_configuration(environment: dict[str, str], tmp_path: Path) -> None:
    """The configuration that a start writes has no password in it."""
    secret = {"DATABASE_URL": "postgresql://ada:of-ada-alone@db.example/customers"}
    subprocess.run(
        [sys.executable, "-m", "twc_customer_gateway", "config", "--for-start", tmp_path],
        env=environment | secret,
        check=True,
    )

    configuration = {"contract.binpb", "large_bodies.yaml", "public.yaml", "stack.json"}
    configuration |= {"cors.json", "routes.json", "settings.toml", "site"}
    assert {path.name for path in tmp_path.iterdir()} == configuration | {"data"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"of-ada-alone" in path.read_bytes()]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("token", "TENANT is missing: make token TENANT=acme"),
        ("backup", "FILE is missing: make backup FILE=backup.db"),
        ("restore", "FILE is missing: make restore FILE=backup.db"),
    ],
)
def test_missing_argument(tmp_path: Path, target: str, said: str) -> None:
    """`make` reports what a target lacks before it installs anything."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    ended = subprocess.run(
        [MAKE, target],
        env=_outside_make(dict(os.environ)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / ".venv").exists()


def test_taken_port(environment: dict[str, str]) -> None:
    """A port that is taken is reported in a sentence, and nothing stays running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            SERVICE,
            env=environment | {"GRPC_PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ended.returncode == 1
    said = f"cannot listen on 127.0.0.1:{port}: is something else listening there?"
    assert f"{said} Stop it, or set GRPC_PORT to another port\n" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"DEVELOPMENT": "false"}, "ISSUER and JWKS are required"),
        ({"ISSUER": "https://issuer.example"}, "unset ISSUER and JWKS"),
        ({"BIND": "0.0.0.0"}, "is for this machine only"),  # noqa: S104 - refused
        ({"GRPC_PORT": "many"}, "GRPC_PORT: "),
        ({"WORKERS": "0"}, "WORKERS: "),
        ({"WORKERS": "65"}, "WORKERS: "),
        ({"TLS_KEY": "key.pem"}, "TLS_CERTIFICATE and TLS_KEY must be set together"),
        ({"TLS_KEY": __file__, "TLS_CERTIFICATE": "no.pem"}, "TLS_CERTIFICATE: no.pem cannot be"),
        ({"DEVELOPMENT": "", "ISSUER": "https://a", "JWKS": "no.json"}, "JWKS: no.json cannot be"),
        ({"DATA_DIR": __file__}, "DATA_DIR: "),
        ({"CORS_ORIGINS": "https://shop.example/"}, "CORS_ORIGINS: "),
        ({"TWC_SETTINGS_FILE": "no.toml"}, "TWC_SETTINGS_FILE: there is no file no.toml"),
    ],
    ids=[
        "no issuer",
        "two issuers",
        "open to others",
        "no number",
        "no worker",
        "too many workers",
        "half of TLS",
        "no certificate",
        "no keys",
        "no folder",
        "no origin",
        "no file",
    ],
)
def test_wrong_settings(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    changed: dict[str, str],
    said: str,
) -> None:
    """Settings that cannot serve, or not safely, are reported in a line, and none are written."""
    for name, value in (environment | changed).items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "configuration"
    folder.mkdir()

    with pytest.raises(SystemExit) as ended:
        configuring.write_for_start(folder)

    [line] = str(ended.value).splitlines()
    assert said in line
    assert not [*folder.iterdir()]


def test_start_with_wrong_settings(environment: dict[str, str]) -> None:
    """A service whose settings are wrong says that in a line, and nothing starts."""
    ended = subprocess.run(
        SERVICE,
        env=environment | {"WORKERS": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "WORKERS: " in line
    assert ended.stdout == ""


@of_workers
def test_odd_settings(environment: dict[str, str], tmp_path: Path) -> None:
    """A start says what is odd about settings and which database it uses, once and in lines."""
    file = tmp_path / "own.toml"
    file.write_text("workers = 2")
    environment |= {"TWC_SETTINGS_FILE": str(file), "WORKER": "3", "TWC_GATEWAY_PORT": "0"}
    with _running(SERVICE, environment) as process:
        lines = _ready(process).splitlines()
        # Workers that are restarted have the settings of the start.
        file.write_text("grpc_port = 1")
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if "twc_customer_server" in child.cmdline()]
        read = [Path(worker.environ()["TWC_SETTINGS_FILE"]).read_text() for worker in workers]

    port = environment["GATEWAY_PORT"]
    said = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert said[:3] == [
        "WORKER=3 is not a setting: did you mean WORKERS?",
        f"TWC_GATEWAY_PORT counts, which is 0; GATEWAY_PORT does not, which is {port}",
        f"the database is SQLite, {environment['DATA_DIR']}/customers.db, by DATA_DIR",
    ]
    assert len([line for line in said if "is not a setting" in line]) == 1
    assert read == ["workers = 2", "workers = 2"]


@pytest.mark.parametrize("package", ["twc_customer_server", "twc_customer_gateway"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], "docs/settings.md says what they mean"),
        (["--version"], version("twc-customer-server")),
        (["settings"], "GRPC_PORT "),
        (["settings", "--json"], '"source": "DEVELOPMENT"'),
    ],
    ids=["help", "version", "settings", "settings as JSON"],
)
def test_information(
    environment: dict[str, str], package: str, arguments: list[str], said: str
) -> None:
    """Help, version and settings are printed without a service."""
    ended = forks.run(["-m", package, *arguments], _of(package, environment))

    assert ended.returncode == 0
    assert said in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("package", "argument"),
    [
        ("twc_customer_server", "--help"),
        ("twc_customer_server", "settings"),
        ("twc_customer_gateway", "--version"),
        ("twc_customer_gateway", "settings"),
    ],
)
def test_output_that_nobody_reads(environment: dict[str, str], package: str, argument: str) -> None:
    """A command whose reader has gone, as in `… | head`, ends without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        ended = subprocess.run(
            [sys.executable, "-m", package, argument],
            env=_of(package, environment),
            stdout=unread,
            stderr=subprocess.PIPE,
            check=False,
        )

    # argparse itself does not mind that nobody reads its help.
    assert ended.returncode in {0, 1}
    assert ended.stderr == b""


@pytest.fixture
def temporary(environment: dict[str, str], tmp_path: Path) -> Path:
    """The folder for temporary files, which has nothing yet."""
    # Short, as there are sockets in it.
    temporary = tmp_path / "t"
    temporary.mkdir()
    environment["TMPDIR"] = str(temporary)
    return temporary


@of_workers
def test_folder_is_locked(environment: dict[str, str], temporary: Path) -> None:
    """The folder of the configuration is locked, so that systemd-tmpfiles lets it grow old."""
    with _running(SERVICE, environment) as process:
        _ready(process)
        [folder] = temporary.glob("twc-*")
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


@of_workers
def test_second_interrupt(environment: dict[str, str], temporary: Path) -> None:
    """A second Ctrl-C ends a service at once, and nothing of its configuration is left."""
    with _running(SERVICE, environment | {"DRAIN_SECONDS": "300"}) as process:
        _ready(process)
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert STOPPING in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive
    assert not [*temporary.iterdir()]


@of_workers
def test_killed_service(environment: dict[str, str], temporary: Path) -> None:
    """A start removes the folders of services that were killed, and no other."""
    others = [temporary / "twc-others", temporary / "twc-link", temporary / "twc-file"]
    others[0].mkdir(mode=0o700)
    (others[0] / "stack.json").write_text("{}")
    others[1].symlink_to(others[0])
    others[2].write_text("")
    with _running(SERVICE, environment) as killed:
        _ready(killed)
        [left] = {*temporary.iterdir()} - {*others}
        children = psutil.Process(killed.pid).children()
        killed.kill()
        psutil.wait_procs(children, timeout=20)
    with _running(SERVICE, environment) as first:
        _ready(first)
        [own] = {*temporary.iterdir()} - {*others}
        assert own != left
        beside = environment | {"GATEWAY_PORT": "0", "GRPC_PORT": "0"}
        with _running(SERVICE, beside) as second:
            _ready(second)
            assert own in {*temporary.iterdir()}
    assert [*others[0].iterdir()] == [others[0] / "stack.json"]
