"""The images are built without a network, and serve without rights on a root that is read-only."""

import faulthandler
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.containers import (
    PROGRAMS,
    TARGETS,
    Container,
    Engine,
    Options,
    image,
    shared_engine,
)
from tests.gateway.stacks import http_headers
from tests.reliability.proxy import Proxy
from tests.support import processes
from tests.support.backends import only
from tests.support.http_client import http_client, http_request
from tests.support.ports import held_port
from tests.support.server_process import wait_until
from tests.support.tokens import trust

USER = "10001"

# Options of containers that need nothing.
BARE = [*Options(Path(), {}, {}).arguments()]

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """An engine with both images, for which a base is made of packages from Debian's mirror."""
    if not os.environ.get("IMAGES"):
        pytest.skip("`make test-images` builds images and runs them")
    for name in PROGRAMS:
        assert shutil.which(name), f"{name}, of Debian's package {name}, is not installed"
    assert sys.platform == "linux", "images are built on Linux"
    assert os.geteuid() == 0, "images are built by root"
    # Building takes minutes on a busy machine, in which pytest's own limit would end the process.
    faulthandler.cancel_dump_traceback_later()
    return shared_engine(Path(os.environ[processes.RUN]) / "images")


class Containers:
    """A server and a gateway in containers, on ports of their own."""

    def __init__(self, engine: Engine, folder: Path, database_url: str) -> None:
        self._engine = engine
        self._folder = folder
        self._ended = ExitStack()
        ports = [self._ended.enter_context(held_port()) for _ in range(5)]
        self.upstream, self.native, self.gateway, self.of_server, self.of_gateway = map(str, ports)
        settings = folder / "server.toml"
        settings.write_text(f'database_url = "{database_url}"\n')
        self._files = {
            "/run/secrets/server.toml": settings,
            "/run/secrets/jwks.json": Path(trust()["jwks"]),
        }

    def server(self, *command: str) -> Container:
        """Starts a server, or another command of its image."""
        settings = {
            "ISSUER": trust()["issuer"],
            "JWKS": "/run/secrets/jwks.json",
            "SETTINGS_FILE": "/run/secrets/server.toml",
            "GRPC_PORT": self.native,
            "UPSTREAM_PORT": self.upstream,
            "METRICS_PORT": self.of_server,
        }
        return self._start("server", self._files, settings, *command)

    def start_gateway(self) -> Container:
        """Starts a gateway of the server."""
        settings = {
            "UPSTREAMS": f"127.0.0.1:{self.upstream}",
            "GATEWAY_PORT": self.gateway,
            "METRICS_PORT": self.of_gateway,
        }
        return self._start("gateway", {}, settings)

    def start_whole(self) -> Container:
        """Starts the whole service in one container, with SQLite on a volume of its own."""
        settings = {
            "ISSUER": trust()["issuer"],
            "JWKS": "/run/secrets/jwks.json",
            "GRPC_PORT": self.native,
            "GATEWAY_PORT": self.gateway,
            "METRICS_PORT": self.of_gateway,
        }
        jwks = {"/run/secrets/jwks.json": self._files["/run/secrets/jwks.json"]}
        return self._start("gateway", jwks, settings, volumes={"/srv/data": "customers"})

    def create(self) -> None:
        """Creates and reads a customer through the gateway, when it is ready."""
        origin = f"http://127.0.0.1:{self.gateway}"
        wait_until(lambda: _status(f"{origin}/readyz") == 200)
        with http_client(base_url=f"{origin}/api/v2", headers=http_headers("acme")) as http:
            created = http.post("/customers", json={"email": "ada@example.com"})
            assert created.status_code == 201, created.text
            assert http.get(f"/customers/{created.json()['id']}").json() == created.json()

    def close(self) -> None:
        """Ends all of them."""
        self._ended.close()

    def _start(
        self,
        target: str,
        files: dict[str, Path],
        settings: dict[str, str],
        *command: str,
        **more: Any,
    ) -> Container:
        options = Options(self._folder, files, settings, **more)
        return self._ended.enter_context(self._engine.running(target, options, *command))


@pytest.fixture
def containers(
    engine: Engine, own_database: dict[str, Any], tmp_path: Path
) -> Iterator[Containers]:
    """Containers with an empty database, which they reach by TCP."""
    with Proxy(own_database["database_url"]) as proxy:
        started = Containers(engine, tmp_path, proxy.url())
        yield started
        started.close()


@only("postgresql")
def test_create_and_get(containers: Containers) -> None:
    """A migrated server and its gateway create and return a customer, and end by SIGTERM."""
    migration = containers.server("migrate")
    assert migration.process.wait() == 0, migration.log.read_text()
    server = containers.server()
    gateway = containers.start_gateway()

    containers.create()

    for container in (server, gateway):
        assert container.healthy(), container.log.read_text()
        assert container.execute("id", "-u").stdout.strip() == USER
        assert "Read-only" in container.execute("touch", "/srv/data/file").stderr
    assert [gateway.stop(), server.stop()] == [0, 0]
    assert not server.healthy()


@only("postgresql")
def test_one_container(containers: Containers) -> None:
    """The image of the gateway serves by itself, with SQLite on a volume."""
    whole = containers.start_whole()

    containers.create()

    assert whole.execute("ls", "/srv/data").stdout.split()[0] == "customers.db"
    assert whole.stop() == 0


@pytest.mark.parametrize("target", TARGETS)
def test_contents(engine: Engine, target: str) -> None:
    """An image is run as a user by number, has a check of its health, and can install nothing."""
    described = engine.describe(target)

    assert described["User"] == f"{USER}:{USER}"
    assert "/livez" in described["Healthcheck"]["Test"][-1]
    for path in ("/opt/twc/bin/pip", "/build", "/root/.cache/pip"):
        as_root = ("--rm", "--user", "0", "--entrypoint", "ls")
        found = engine.podman("run", *BARE, *as_root, image(target), path)
        assert "No such file" in found.stderr


def _status(url: str) -> int:
    try:
        return http_request("GET", url).status_code
    except httpx.TransportError:
        return 0
