"""What `deploy/` has is accepted by the programs that would take it, or by their schemas."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import parts
from tests.deploy.checkers import check
from tests.deploy.parts import DEPLOY, KUSTOMIZATIONS, UNITS

# The oldest Kubernetes that has all of it, and the newest that there is a schema of.
VERSIONS = ("1.31", "1.37")

# Kinds of the Prometheus operator, which Kubernetes' own schemas do not have.
_FOREIGN = {"PodMonitor"}

# Of 100, which a process with all rights has.
_MOST_EXPOSURE = 15


def test_containerfile() -> None:
    """The images are built as hadolint advises."""
    check("hadolint", "--failure-threshold", "style", DEPLOY / "Containerfile")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.tls.yaml"])
def test_compose(name: str) -> None:
    """A file of compose has the form of its specification."""
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_kubernetes(name: str, version: str, tmp_path: Path) -> None:
    """Kubernetes knows each field of each object."""
    known = [it for it in parts.objects(name) if it["kind"] not in _FOREIGN]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(known))

    said = check("kubernetes-validate", "--strict", "--kubernetes-version", version, file)

    # It only warns of a kind that it does not know.
    assert said.count(f"against version {version}") == len(known)


def test_prometheus() -> None:
    """Prometheus accepts its configuration, and finds the alerts."""
    said = check("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")

    assert f"{len(_rules())} rules found" in said


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_systemd(file: Path, tmp_path: Path) -> None:
    """Systemd accepts a unit without a warning, and finds that it has few rights."""
    # As it would be with the service installed.
    copy = tmp_path / file.name
    copy.write_text(file.read_text().replace("/opt/twc/bin/python", "/bin/true"))

    assert not check("systemd-analyze", "verify", "--man=no", copy)
    check("systemd-analyze", "security", "--offline=true", f"--threshold={_MOST_EXPOSURE}",
          copy)  # fmt: skip


def test_grafana() -> None:
    """Grafana is given the dashboard, and a source of the kind that it asks for."""
    dashboard = json.loads((DEPLOY / "grafana" / "customer-api.json").read_text())
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = _yaml(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    (provider,) = _yaml(provisioning / "dashboards" / "customer-api.yaml")["providers"]
    services = parts.compose(tls=False)
    mounts = dict(it.split(":")[:2] for it in services["grafana"]["volumes"])

    (asked,) = (it for it in dashboard["templating"]["list"] if it["type"] == "datasource")
    assert source["type"] == asked["query"]
    assert source["url"] == "http://prometheus:9090"
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert Path(mounts["./grafana/customer-api.json"]).parent == Path(provider["options"]["path"])


def _rules() -> list[Any]:
    groups = _yaml(DEPLOY / "prometheus" / "alerts.yaml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
