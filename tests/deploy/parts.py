"""The processes that `deploy/` starts, each with its settings, ports, probes and times to stop."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.deploy.checkers import checker

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZATIONS = ("base", "example")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))

_PREFIX = "TWC_"
_SECONDS = {"": 1, "s": 1, "m": 60}


class Part(NamedTuple):
    """A process: what it is of, its settings by name, and what waits for its end."""

    where: str
    of: str
    settings: dict[str, str]
    stop_seconds: int | None = None
    # Names of files that it mounts, by path.
    files: tuple[str, ...] = ()


@cache
def compose(*, tls: bool) -> dict[str, Any]:
    """The services of compose.yaml, with what compose.tls.yaml adds."""
    services: dict[str, Any] = _yaml("compose.yaml")["services"]
    for name, more in (_yaml("compose.tls.yaml")["services"] if tls else {}).items():
        service = services[name]
        services[name] = service | {
            "environment": service["environment"] | more["environment"],
            "secrets": [*service.get("secrets", ()), *more["secrets"]],
        }
    return services


@cache
def objects(kustomization: str) -> list[dict[str, Any]]:
    """What `kubectl apply --kustomize` would send to a cluster."""
    command = [checker("kubectl"), "kustomize", str(DEPLOY / "kubernetes" / kustomization)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods(kustomization: str) -> dict[str, dict[str, Any]]:
    """The specification of each pod, by the name of what makes it."""
    return {
        it["metadata"]["name"]: it["spec"]["template"]["spec"]
        for it in objects(kustomization)
        if it["kind"] in {"Deployment", "Job"}
    }


def prometheus() -> dict[str, Any]:
    """The configuration of the Prometheus of compose.yaml."""
    configuration: dict[str, Any] = _yaml("prometheus/prometheus.yaml")
    return configuration


def unit(file: Path) -> dict[str, list[str]]:
    """The options of a unit of systemd, which may be there several times."""
    options: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        name, is_option, value = line.partition("=")
        if is_option and not line.startswith("#"):
            options.setdefault(name, []).append(value)
    return options


def image_settings(target: str) -> dict[str, str]:
    """The settings that an image has."""
    stages = re.split(
        r"^FROM .* AS (.*)$", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE
    )
    text = dict(zip(stages[1::2], stages[2::2], strict=True))
    return dict(re.findall(rf"\b{_PREFIX}(\w+)=(\S+)", text["runtime"] + text[target]))


def parts() -> Iterator[Part]:
    """Yields all processes of the product."""
    yield from _compose_parts()
    for name in KUSTOMIZATIONS:
        yield from _kubernetes_parts(name)
    yield from _systemd_parts()


def _compose_parts() -> Iterator[Part]:
    for tls in (False, True):
        for name, service in compose(tls=tls).items():
            image = re.search(r"twc-customer-(server|gateway)", service["image"])
            if image:
                where = f"compose{'.tls' if tls else ''} {name}"
                settings = image_settings(image[1]) | _unprefixed(service["environment"])
                files = tuple(f"/run/secrets/{secret}" for secret in service.get("secrets", ()))
                stop = _seconds(service.get("stop_grace_period"))
                yield Part(where, image[1], settings, stop, files)


def _kubernetes_parts(kustomization: str) -> Iterator[Part]:
    maps = {
        it["metadata"]["name"]: it["data"]
        for it in objects(kustomization)
        if it["kind"] == "ConfigMap"
    }
    for name, pod in pods(kustomization).items():
        (container,) = pod["containers"]
        (of,) = re.findall(r"twc-customer-(server|gateway)\b", container["image"])
        environment = {
            key: value
            for source in container["envFrom"]
            for key, value in maps[source["configMapRef"]["name"]].items()
        }
        settings = image_settings(of) | _unprefixed(environment)
        mounted = tuple(f"{it['mountPath']}/" for it in container["volumeMounts"])
        stop = pod.get("terminationGracePeriodSeconds")
        yield Part(f"kubernetes/{kustomization} {name}", of, settings, stop, mounted)


def _systemd_parts() -> Iterator[Part]:
    for file in UNITS:
        options = unit(file)
        (of,) = re.findall(r"twc_customer_(server|gateway)", options["ExecStart"][0])
        pairs = [pair.split("=", 1) for it in options["Environment"] for pair in shlex.split(it)]
        settings = {name: value.replace("%i", "1") for name, value in pairs}
        credentials = (it.partition(":")[0] for it in options.get("LoadCredential", ()))
        files = tuple(f"%d/{name}" for name in credentials)
        stop = _seconds(options.get("TimeoutStopSec", [None])[0])
        yield Part(f"systemd {file.stem}", of, _unprefixed(settings), stop, files)


def _unprefixed(environment: dict[str, Any]) -> dict[str, str]:
    unlike = [name for name in environment if not name.startswith(_PREFIX)]
    assert not unlike, f"{unlike}: settings have the prefix {_PREFIX} in deploy/"
    return {name.removeprefix(_PREFIX): str(value) for name, value in environment.items()}


def _seconds(text: str | None) -> int | None:
    found = re.fullmatch(r"(\d+)(s|m|)", text or "")
    return int(found[1]) * _SECONDS[found[2]] if found else None


def _yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())
