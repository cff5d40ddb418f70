"""Reads the standard variables of OpenTelemetry: whether traces are wanted, and what is wrong.

The library reads them as well, but takes a default for what it does not understand.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP, GRPC = "http/protobuf", "grpc"

_SAMPLER, _RATIO = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_SAMPLERS = ("always_on", "always_off", "traceidratio")

Environment = Mapping[str, str]


def is_asked(environment: Environment) -> bool:
    """Tells whether calls are to be traced: an exporter or an endpoint is named."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if exporter := environment.get(EXPORTER, "").strip():
        return exporter != "none"
    return any(environment.get(name) for name in ENDPOINTS)


def protocol(environment: Environment) -> str:
    """Returns the protocol of the exporter."""
    return _first(environment, PROTOCOLS)[1] or HTTP


def endpoint(environment: Environment) -> str:
    """Returns the address of the collector, as it is given, or the default one."""
    default = "http://localhost:4317" if protocol(environment) == GRPC else "http://localhost:4318"
    return _first(environment, ENDPOINTS)[1] or default


def wrong(environment: Environment) -> Iterator[str]:
    """Yields a line for each variable that is wrong, if calls are to be traced."""
    if not is_asked(environment):
        return
    exporter = environment.get(EXPORTER, "").strip()
    if exporter not in {"", "otlp"}:
        yield f"{EXPORTER}: must be otlp or none, not {exporter}"
    name, chosen = _first(environment, PROTOCOLS)
    if chosen not in {"", HTTP, GRPC}:
        yield f"{name}: must be {HTTP} or {GRPC}, not {chosen}"
    name, url = _first(environment, ENDPOINTS)
    if url and not _is_url(url):
        yield f"{name}: must be a URL, such as http://localhost:4318"
    yield from _wrong_sampler(environment)


def _wrong_sampler(environment: Environment) -> Iterator[str]:
    sampler = environment.get(_SAMPLER, "").strip()
    names = (*_SAMPLERS, *(f"parentbased_{name}" for name in _SAMPLERS))
    if sampler and sampler not in names:
        yield f"{_SAMPLER}: must be one of {', '.join(names)}, not {sampler}"
    ratio = environment.get(_RATIO, "").strip()
    if ratio and sampler.endswith("traceidratio") and not _is_ratio(ratio):
        yield f"{_RATIO}: must be a number from 0 to 1, not {ratio}"


def _first(environment: Environment, names: tuple[str, ...]) -> tuple[str, str]:
    """Returns the first of some variables that is set, and its value, which may be empty."""
    return next(
        ((name, value) for name in names if (value := environment.get(name, "").strip())),
        (names[-1], ""),
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
