"""What `deploy/` says of settings, ports, probes and stops agrees with the service."""

import re
from importlib.metadata import version
from typing import Any

import pytest

from tests.deploy import parts
from tests.deploy.parts import DEPLOY, KUSTOMIZATIONS, Part
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import concerns

PARTS = [*parts.parts()]
SERVING = [part for part in PARTS if part.stop_seconds]
UNITS = [part for part in PARTS if part.where.startswith("systemd ")]

# What a stop takes beyond waiting, and how often it waits for GRACE_SECONDS: docs/apart.md.
_EXTRA_SECONDS = 10
_GRACES = {"server": 1, "gateway": 2}

# PostgreSQL's own default.
_MAX_CONNECTIONS = 100
_PORTS = {"server": {50051, 50052, 9464}, "gateway": {8080, 9464}}

each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.where)
each_serving = pytest.mark.parametrize("part", SERVING, ids=lambda part: part.where)
each_kustomization = pytest.mark.parametrize("name", KUSTOMIZATIONS)


def test_list_of_parts() -> None:
    """Compose, both kustomizations and systemd have gateway, server and migration each."""
    found = sorted((part.where.partition(" ")[0], part.of) for part in PARTS)

    assert found == sorted(
        (place, of)
        for place in ("compose", "compose.tls", "kubernetes/base", "kubernetes/example", "systemd")
        for of in ("gateway", "server", "server")
    )


@each_part
def test_names_of_settings(part: Part) -> None:
    """A process is given settings that it has, and a gateway of servers none of theirs."""
    others = {"gateway": "server", "server": "gateway"}[part.of]

    for name in part.settings.keys() - {"SETTINGS_FILE"}:
        assert name.lower() in GatewaySettings.model_fields, name
        assert concerns(name.lower()) != others, name


@each_part
def test_values_of_settings(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process accepts the settings that it is given."""
    settings = part.settings | {"ISSUER": "https://a.example/", "JWKS": "https://a.example/keys"}
    settings |= {"SETTINGS_FILE": "/dev/null"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TWC_{name}", re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))

    {"gateway": GatewaySettings, "server": Settings}[part.of]()


@pytest.mark.parametrize("part", UNITS, ids=lambda part: part.where)
def test_settings_of_page(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit of two machines accepts what the page has its file of settings say, too."""
    page = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    written = re.findall(rf"/{part.of}\.env <<'END'\n(.*?)^END$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("TWC_SETTINGS_FILE", "/dev/null")
    for name, value in (part.settings | {"SETTINGS_FILE": "/dev/null"}).items():
        monkeypatch.setenv(f"TWC_{name}", value)
    for line in written[-1].splitlines():
        monkeypatch.setenv(*line.split("=", 1))

    {"gateway": GatewaySettings, "server": Settings}[part.of]()


@each_part
def test_files_of_settings(part: Part) -> None:
    """Each file that a setting names is one that the process is given."""
    named = [value for value in part.settings.values() if value.startswith(("/", "%d/"))]
    # A migration has the settings of servers, and does not read certificates.
    named = [path for path in named if "migration" not in part.where or "/tls/" not in path]

    for path in named:
        assert any(path == file or path.startswith(file.rstrip("/") + "/") for file in part.files)


@each_serving
def test_time_to_stop(part: Part) -> None:
    """A process is killed only after the time that its own stop may take."""
    drain, grace = (int(part.settings[f"{name}_SECONDS"]) for name in ("DRAIN", "GRACE"))

    assert part.stop_seconds == drain + _GRACES[part.of] * grace + _EXTRA_SECONDS


def test_stops_are_known() -> None:
    """All but migrations, which may be killed, have a time to stop."""
    assert all(part.stop_seconds or re.search(r"migrat", part.where) for part in PARTS)


@pytest.mark.parametrize("where", ["compose", "kubernetes/base"])
def test_servers_of_gateway(where: str) -> None:
    """A gateway is told the name and port of the servers beside it."""
    beside = {part.of: part.settings for part in SERVING if part.where.startswith(f"{where} ")}
    name = {"compose": "server", "kubernetes/base": "customer-api-server"}[where]

    assert beside["gateway"]["UPSTREAMS"] == f"{name}:{beside['server']['UPSTREAM_PORT']}"


def test_versions_of_images() -> None:
    """Images are named with the version that is built."""
    named = ("compose.yaml", "kubernetes/example/kustomization.yaml")
    text = "".join((DEPLOY / name).read_text() for name in named)
    tags = re.findall(r"twc-customer-(?:server|gateway)(?::|, newTag: )([\d.]+)", text)

    assert (len(tags), {*tags}) == (4, {version("twc-customer-server")})


@each_kustomization
def test_ports_and_probes(name: str) -> None:
    """Kubernetes is told ports on which a process listens, and probes of the port of metrics."""
    for container in _serving_containers(name):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}

        assert {*ports.values()} == _PORTS[container["name"]]
        assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
            "startup": "/livez",
            "liveness": "/livez",
            "readiness": "/readyz",
        }
        assert {ports[probe["httpGet"]["port"]] for probe in probes.values()} == {9464}


def test_time_to_start() -> None:
    """A server is given longer to answer than it waits for its database."""
    (server,) = (it for it in _serving_containers("base") if it["name"] == "server")
    probe = server["startupProbe"]

    wait = Settings.model_fields["database_wait_seconds"].default
    assert probe["periodSeconds"] * probe["failureThreshold"] > wait + 10


@each_kustomization
def test_pods_have_no_rights(name: str) -> None:
    """A pod meets the restricted standard of Kubernetes, and its root cannot be written to."""
    for pod in parts.pods(name).values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        # Variables of services would be taken for settings.
        assert not pod["enableServiceLinks"]
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@each_kustomization
def test_secrets_are_referred_to(name: str) -> None:
    """No object has a secret: pods name those that are in the cluster."""
    kinds = {it["kind"] for it in parts.objects(name)}

    assert "Secret" not in kinds
    for pod_name, pod in parts.pods(name).items():
        secrets = {it["secret"]["secretName"] for it in pod["volumes"] if "secret" in it}
        assert ("customer-api-database" in secrets) == (pod_name != "customer-api-gateway")


@each_kustomization
def test_selectors(name: str) -> None:
    """Services, budgets, policies and the monitor select pods that there are."""
    made = [
        it["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for it in parts.objects(name)
        if it["kind"] in {"Deployment", "Job"}
    ]
    for it in parts.objects(name):
        spec = it.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        chosen = _named(selector)
        assert chosen <= {*made}, it["metadata"]["name"]
        if it["kind"] == "Deployment":
            spread = spec["template"]["spec"]["topologySpreadConstraints"]
            assert all(_named(rule["labelSelector"]) == chosen for rule in spread)


def test_connections_to_database() -> None:
    """All servers that may run have no more connections than PostgreSQL admits by default."""
    (scaler,) = (
        it["spec"]
        for it in parts.objects("base")
        if it["kind"] == "HorizontalPodAutoscaler" and it["metadata"]["name"].endswith("server")
    )
    pool = Settings.model_fields["database_pool_size"].default

    assert (scaler["maxReplicas"] + 1) * pool < _MAX_CONNECTIONS


@pytest.mark.parametrize("tls", [False, True])
def test_compose_is_closed(tls: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """In compose no process has rights, no root can be written to, and files exist."""
    services = parts.compose(tls=tls)

    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), source
    published = [port for it in services.values() for port in it.get("ports", ())]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == [
        "${GATEWAY_PORT:-8080}:8080"
    ]


def test_dns_of_prometheus() -> None:
    """Prometheus looks up the names and the port that compose gives to gateway and servers."""
    (job,) = parts.prometheus()["scrape_configs"]
    (lookup,) = job["dns_sd_configs"]

    assert {*lookup["names"]} <= parts.compose(tls=False).keys()
    assert str(lookup["port"]) == parts.image_settings("server")["METRICS_PORT"]


def _serving_containers(name: str) -> list[dict[str, Any]]:
    containers = (it["containers"][0] for it in parts.pods(name).values())
    return [container for container in containers if "ports" in container]


def _named(selector: dict[str, Any]) -> set[str]:
    """Returns the names of parts that a selector chooses, of any form."""
    label = "app.kubernetes.io/name"
    equal = selector.get("matchLabels", selector).get(label)
    among = [
        rule["values"] for rule in selector.get("matchExpressions", ()) if rule["key"] == label
    ]
    return {*([equal] if isinstance(equal, str) else []), *(it for its in among for it in its)}
