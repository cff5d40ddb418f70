"""The dashboard and the alerts in `deploy/` ask for metrics that the service has."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.service import ROOT, Service
from tests.support.builders import NO_CUSTOMER
from tests.support.client import SECONDS
from tests.support.http_client import http_request
from tests.support.ports import held_port
from tests.support.processes import die_with_parent
from tests.support.programs import program
from tests.support.scraping import Scrape
from tests.support.server_process import wait_until

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "customer-api.json"

# Labels that Prometheus itself adds.
OF_PROMETHEUS = {"instance", "job"}

_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}


def alerts() -> dict[str, str]:
    """The expression of each alert."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    """The expressions of each panel, with values for the variables of the dashboard."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "5m")
        .replace("$instance", ".*")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    }


EXPRESSIONS = alerts() | panels()


def names(expression: str) -> set[str]:
    """The names of metrics in an expression: words that are neither functions nor labels."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - _WORDS


def matchers(expression: str) -> list[tuple[str, str, str, str]]:
    """The metric, label, operator and value of each matcher."""
    return [
        (metric, *matcher)
        for metric, braces in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression)
        for matcher in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', braces)
    ]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the metrics of a service that has answered."""
    folder = tmp_path_factory.mktemp("monitored")
    with held_port() as port, Service(folder, metrics_port=port) as service:
        with service.http("acme") as http:
            assert http.get(NO_CUSTOMER).status_code == 204
        yield port


@pytest.fixture(scope="module")
def exported(port: int) -> dict[str, dict[str, set[str]]]:
    """The values of each label of each metric, by the names in the text."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in Scrape(port).text.splitlines():
        if line and not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            [family] = text_string_to_metric_families(f"{line}\n")
            labels = found.setdefault(name, {})
            for label, value in family.samples[0].labels.items():
                labels.setdefault(label, set()).add(value)
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_names(expression: str, exported: dict[str, dict[str, set[str]]]) -> None:
    """Every metric, label and label value that a query names is one that the service exports."""
    assert names(expression)
    assert names(expression) <= exported.keys()
    for metric, label, operator, value in matchers(expression):
        if label not in OF_PROMETHEUS:
            chosen = value.split("|") if "~" in operator else [re.escape(value)]
            for each in chosen:
                assert [it for it in exported[metric][label] if re.fullmatch(each, it)], each


def test_own_metrics_on_dashboard(exported: dict[str, dict[str, set[str]]]) -> None:
    """Every metric that the service has of its own is on the dashboard."""
    shown = set().union(*map(names, panels().values()))

    assert {it for it in exported if it.startswith("twc_customer_")} - shown == {
        "twc_customer_build_info"
    }


def test_list_of_metrics(exported: dict[str, dict[str, set[str]]]) -> None:
    """The page of operations lists every metric of the server with its labels, and every alert."""
    page = (ROOT / "docs" / "operations.md").read_text()
    for name, labels in exported.items():
        if not name.startswith("envoy_"):
            listed = re.sub(r"_(bucket|count|sum)$", "", name)
            [row] = re.findall(rf"^\| `{listed}` \|.*$", page, re.MULTILINE)
            assert {*re.findall(r"`(\w+)`", row.split("|")[2])} == {*labels} - {"le"}
    assert {*re.findall(r"`(CustomerApi\w+)`", page)} == {*alerts()}


@pytest.mark.parametrize("command", ["check", "test"])
def test_rules(command: str) -> None:
    """Prometheus accepts the alerts, which fire when they should and not else."""
    tested = {"check": ALERTS, "test": ALERTS.with_name("alerts_test.yaml")}[command]
    done = subprocess.run(
        [program("promtool", "prometheus"), command, "rules", str(tested)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_list_of_tested_alerts() -> None:
    """There is a test of every alert."""
    tested = ALERTS.with_name("alerts_test.yaml").read_text()

    assert {*re.findall(r"CustomerApi\w+", tested)} == {*alerts()}


def test_scraped(port: int, tmp_path: Path) -> None:
    """Prometheus scrapes a service, and evaluates alerts and dashboard without an error."""
    rules = [
        {"record": f"panel:{number}", "expr": it} for number, it in enumerate(panels().values())
    ]
    dashboard = tmp_path / "dashboard.yaml"
    dashboard.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    configuration = tmp_path / "prometheus.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
                "rule_files": [str(ALERTS), str(dashboard)],
                "scrape_configs": [
                    {
                        "job_name": "customer-api",
                        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                    }
                ],
            }
        )
    )
    with held_port() as own_port:
        address = f"127.0.0.1:{own_port}"

        def data(path: str) -> Any:
            return http_request("GET", f"http://{address}/api/v1/{path}").json()["data"]

        command = [program("prometheus", "prometheus"), f"--config.file={configuration}"]
        command += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}"]
        with (tmp_path / "log").open("w") as log:
            prometheus = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        try:
            wait_until(lambda: "Server is ready" in (tmp_path / "log").read_text())
            wait_until(lambda: data("query?query=twc_customer_build_info")["result"])
            wait_until(lambda: {it["health"] for it in _rules(data)} == {"ok"})
            [target] = data("targets")["activeTargets"]
        finally:
            prometheus.terminate()
            prometheus.wait(SECONDS)
    assert target["health"] == "up", target["lastError"]


def _rules(data: Any) -> list[dict[str, Any]]:
    return [rule for group in data("rules")["groups"] for rule in group["rules"]]
