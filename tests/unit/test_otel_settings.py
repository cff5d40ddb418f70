"""Whether OpenTelemetry's variables ask for traces, and what is wrong with them."""

import pytest

from twc_customer_server.telemetry import otel_settings

URL = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}

ASKED: dict[str, tuple[dict[str, str], bool]] = {
    "nothing": ({}, False),
    "an endpoint": (URL, True),
    "an endpoint of traces": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
    "an empty endpoint": ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    "an endpoint of metrics": ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, False),
    "an exporter": ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
    "an empty exporter": ({"OTEL_TRACES_EXPORTER": " "}, False),
    "no exporter in spite of an endpoint": (URL | {"OTEL_TRACES_EXPORTER": "none"}, False),
    "disabled": (URL | {"OTEL_SDK_DISABLED": "TRUE"}, False),
    "not disabled": (URL | {"OTEL_SDK_DISABLED": "false"}, True),
    "a name alone": ({"OTEL_SERVICE_NAME": "shop"}, False),
}


@pytest.mark.parametrize(("variables", "asked"), ASKED.values(), ids=ASKED)
def test_is_asked(variables: dict[str, str], *, asked: bool) -> None:
    """Traces are on if an exporter or endpoint is named, unless they are turned off."""
    assert otel_settings.is_asked(variables) == asked


RIGHT: dict[str, dict[str, str]] = {
    "nothing more": {},
    "gRPC": {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    "HTTP": {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    "a sampler": {"OTEL_TRACES_SAMPLER": "always_off"},
    "a ratio": {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"},
    "an argument that is not used": {"OTEL_TRACES_SAMPLER_ARG": "much"},
    "an empty sampler": {"OTEL_TRACES_SAMPLER": ""},
    "wrong and off": {"OTEL_TRACES_SAMPLER": "x", "OTEL_SDK_DISABLED": "true"},
}


@pytest.mark.parametrize("variables", RIGHT.values(), ids=RIGHT)
def test_right(variables: dict[str, str]) -> None:
    """Values that OpenTelemetry specifies are right, and all values if traces are off."""
    assert [*otel_settings.wrong(URL | variables)] == []


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "exporter": (
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        "OTEL_TRACES_EXPORTER: must be otlp or none, not zipkin",
    ),
    "protocol": (
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        "OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf or grpc, not http/json",
    ),
    "endpoint without scheme": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
        "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL, such as http://localhost:4318",
    ),
    "endpoint with a wrong port": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:port"},
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: must be a URL, such as http://localhost:4318",
    ),
    "sampler": ({"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER: must be one of"),
    "ratio over one": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "5"},
        "OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1, not 5",
    ),
    "ratio that is none": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"},
        "OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1, not nan",
    ),
}


@pytest.mark.parametrize(("variables", "line"), WRONG.values(), ids=WRONG)
def test_wrong(variables: dict[str, str], line: str) -> None:
    """What is wrong is one line with the variable, what would be right, and its value."""
    [found] = otel_settings.wrong(URL | variables)

    assert found.startswith(line)
