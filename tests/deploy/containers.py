"""Builds the images of `deploy/Containerfile` and runs them, with podman and on Debian alone."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import die_with_parent

ROOT = Path(__file__).parents[2]
PROGRAMS = ("buildah", "crun", "mmdebstrap", "podman")

TARGETS = ("server", "gateway")
BASE = "localhost/base"

# Debian with Python stands for the official image of Python, which this machine cannot fetch.
_PACKAGES = "python3,python3-venv,ca-certificates"
_RELEASE = "bookworm"

# crun refuses controllers of both versions of cgroups, as some virtual machines have them.
_HYBRID = Path("/sys/fs/cgroup/unified")
_STOP_SECONDS = 60


class Engine:
    """Podman with a storage of its own, which needs neither a daemon nor a registry."""

    def __init__(self, folder: Path) -> None:
        self._storage = [
            *("--root", str(folder / "storage"), "--runroot", str(folder / "run")),
            *("--storage-driver", "overlay"),
        ]

    def buildah(self, *arguments: str | Path, folder: Path = ROOT) -> str:
        """Runs buildah, and returns what it prints."""
        return _run(["buildah", *self._storage, *map(str, arguments)], folder)

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs podman to its end, whatever that is."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)

    def command(self, *arguments: str) -> list[str]:
        """The command that runs podman."""
        runtime = ["--runtime", "crun", "--cgroup-manager", "cgroupfs"]
        podman = ["podman", *self._storage, *runtime, *arguments]
        if not _HYBRID.is_mount():
            return podman
        script = f'umount {_HYBRID} && exec "$0" "$@"'
        return ["unshare", "--mount", "sh", "-c", script, *podman]

    def make_base(self, folder: Path) -> None:
        """Makes an image of Debian with Python from the distribution's packages."""
        archive = folder / "base.tar"
        _run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={_PACKAGES}", _RELEASE,
              str(archive)], folder)  # fmt: skip
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, archive, "/")
        self.buildah("commit", "--quiet", container, BASE)
        archive.unlink()

    def build(self, target: str, context: Path) -> None:
        """Builds an image of wheels that are in the context."""
        self.buildah(
            *("build", "--format", "docker", "--pull-never", "--isolation", "chroot", "--layers"),
            *("--build-arg", f"BASE={BASE}", "--build-arg", "PIP_NO_INDEX=1"),
            *("--file", ROOT / "deploy" / "Containerfile"),
            *("--target", target, "--tag", image(target), context),
        )

    def describe(self, target: str) -> dict[str, Any]:
        """What an image says of how it is run."""
        (described,) = json.loads(self.podman("image", "inspect", image(target)).stdout)
        return dict(described)

    @contextmanager
    def running(self, target: str, options: "Options", *command: str) -> Iterator["Container"]:
        """Runs a container as deploy/compose.yaml does; its root cannot be written to."""
        name = f"twc-{os.urandom(4).hex()}"
        with ExitStack() as ended:
            log = ended.enter_context((options.folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                self.command("run", "--name", name, *options.arguments(), image(target), *command),
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
            ended.callback(process.wait)
            ended.callback(self.podman, "rm", "--force", "--time", "0", name)
            yield Container(self, name, process, Path(log.name))


class Options(NamedTuple):
    """How a container is run: files and volumes that it sees by path, and settings."""

    folder: Path
    files: dict[str, Path]
    settings: dict[str, str]
    volumes: dict[str, str] = {}  # noqa: RUF012 - nothing changes it

    def arguments(self) -> Iterator[str]:
        """The options of `podman run`."""
        yield from ("--network", "host", "--cgroups", "disabled", "--health-interval", "disable")
        yield from ("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp")  # noqa: S108 - in the container
        yield from ("--cap-drop", "all", "--security-opt", "no-new-privileges")
        # Podman's defaults are more than some machines let root set.
        for limit in ("nofile", "nproc"):
            yield from ("--ulimit", f"{limit}=4096:4096")
        for inside, outside in self.files.items():
            yield from ("--volume", f"{outside}:{inside}:ro")
        for inside, volume in self.volumes.items():
            yield from ("--volume", f"{volume}:{inside}")
        for setting, value in self.settings.items():
            yield from ("--env", f"TWC_{setting}={value}")


class Container(NamedTuple):
    """A container that runs, or ran."""

    engine: Engine
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def healthy(self) -> bool:
        """Tells whether the check of the image finds it healthy."""
        return self.engine.podman("healthcheck", "run", self.name).returncode == 0

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in it."""
        return self.engine.podman("exec", self.name, *command)

    def stop(self) -> int:
        """Stops it by SIGTERM to its first process, and returns the status of that."""
        self.engine.podman("kill", "--signal", "TERM", self.name)
        return self.process.wait(_STOP_SECONDS)


def shared_engine(folder: Path) -> Engine:
    """Returns an engine with both images, in a folder where all workers of a run share it."""
    folder.mkdir(exist_ok=True)
    engine = Engine(folder)
    with folder.joinpath("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        context = folder / "context"
        if not folder.joinpath("ready").exists():
            collect_wheels(context)
            engine.make_base(folder)
            for target in TARGETS:
                engine.build(target, context)
            folder.joinpath("ready").touch()
    return engine


def image(target: str) -> str:
    """Returns the name of an image."""
    return f"localhost/twc-customer-{target}"


def collect_wheels(context: Path) -> None:
    """Puts all wheels, and the constraints, into a context of builds."""
    dist = context / "dist"
    dist.mkdir(parents=True, exist_ok=True)
    contract = [*ROOT.glob("build/contract/twc_customer_v2-*.whl")]
    _pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", dist, *contract, ROOT)
    server = next(dist.glob("twc_customer_server-*.whl"))
    _pip("download", "--only-binary", ":all:", "--constraint", ROOT / "constraints.txt",
         "--find-links", dist, "--dest", dist, f"{server}[gateway]")  # fmt: skip
    shutil.copy(ROOT / "constraints.txt", context)
    shutil.copy(ROOT / ".dockerignore", context)


def _pip(*arguments: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _run([*pip, *map(str, arguments)], ROOT)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
