"""`make run`, as the person at the terminal sees it."""

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.backends import any_backend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(own_database: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """Development mode, with ports and data of the test's own."""
    chosen = own_database | {"data_dir": tmp_path / "data", "development": "true"}
    ports = {"GATEWAY_PORT": "0", "GRPC_PORT": "0"}
    return os.environ | ports | {name.upper(): str(value) for name, value in chosen.items()}


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The command that `make run` runs, in a session of its own as in a terminal."""
    with subprocess.Popen(
        [sys.executable, "-m", "twc_customer_gateway"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


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


def test_examples_work_as_pasted(
    service: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    """The lines that a ready service prints, to try it, work when pasted into a shell."""
    printed = _ready(service)
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
    found = subprocess.run(lookup, capture_output=True, check=True, cwd=ROOT)

    assert created["email"] == "ada@example.com"
    assert b'"firstName": "Ada"' in found.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(service: subprocess.Popen[str], number: signal.Signals) -> None:
    """Ctrl-C, or a supervisor's SIGTERM, ends every process and frees both ports."""
    ports = [int(port) for port in re.findall(r"on 127\.0\.0\.1:(\d+)", _ready(service))]
    children = psutil.Process(service.pid).children()

    service.send_signal(number)

    assert service.wait(timeout=20) == 0
    assert len(children) == 2
    assert not [child for child in children if child.is_running()]
    for port in ports:
        with socket.create_server(("127.0.0.1", port), reuse_port=False):
            pass


@any_backend
def test_taken_port(environment: dict[str, str]) -> None:
    """A port that is taken is said in a sentence, and nothing stays running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "twc_customer_gateway"],
            env=environment | {"GRPC_PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


@any_backend
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"DEVELOPMENT": "false"}, "ISSUER and JWKS are required"),
        ({"ISSUER": "https://issuer.example"}, "unset ISSUER and JWKS"),
        ({"BIND": "0.0.0.0"}, "is for this machine alone"),  # noqa: S104 - refused
        ({"GRPC_PORT": "many"}, "GRPC_PORT: "),
        ({"WORKERS": "0"}, "WORKERS: "),
        ({"WORKERS": "65"}, "WORKERS: "),
        ({"TLS_KEY": "key.pem"}, "TLS_CERTIFICATE and TLS_KEY must be set together"),
    ],
    ids=[
        "no issuer",
        "two issuers",
        "open to others",
        "no number",
        "no worker",
        "too many workers",
        "half of TLS",
    ],
)
def test_wrong_settings(environment: dict[str, str], changed: dict[str, str], said: str) -> None:
    """Settings that cannot serve, or not safely, are said in a sentence, and nothing starts."""
    ended = subprocess.run(
        [sys.executable, "-m", "twc_customer_gateway"],
        env=environment | changed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_kill_leaves_nothing(service: subprocess.Popen[str]) -> None:
    """When the supervisor is killed outright, its children end as well."""
    _ready(service)
    children = psutil.Process(service.pid).children()

    service.kill()
    service.wait()

    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
