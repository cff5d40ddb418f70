"""Envoy with the server's Python inside (pyvoy): what SERVE=inprocess changes of its settings.

Requests whose route leads to a worker are answered by the filter in front of the router. All
others are as they are beside workers: what Envoy answers itself, and large bodies, which another
Envoy reads and sends on to a Unix socket, that of the listener `internal` here.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twc_customer_gateway.rpc_routes import Route
from twc_customer_server.transport import ports

# Takes calls of native clients, and those that the gateway makes.
_NATIVE = "twc_customer_server.inprocess:native"
_GATEWAY = "twc_customer_server.inprocess:gateway"

# pyvoy is made for an older Envoy, and tested here with this one.
PYVOY_VERSION = "1.3.0"
INSTALL = "make .venv/inprocess"

_TYPE = "type.googleapis.com/envoy."
_NAME = "python"
_FILTER = _TYPE + "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
_MANAGER = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"},
}
_ON = {"@type": _TYPE + "config.route.v3.FilterConfig", "config": {}}

# As of a connection to a worker.
_NATIVE_CALLS, _INTERNAL_CALLS = 256, 1024


class UnsuitablePythonError(Exception):
    """This Python cannot run inside Envoy; the message says why, and what would help."""


def environment() -> dict[str, str]:
    """Returns the environment in which Envoy finds this Python. Raises UnsuitablePythonError."""
    if importlib.util.find_spec("pyvoy") is None:
        raise UnsuitablePythonError(
            f"SERVE=inprocess needs pyvoy {PYVOY_VERSION}, which is not installed: {INSTALL}"
        )
    import find_libpython  # noqa: PLC0415 - it is installed with pyvoy

    library = find_libpython.find_libpython()
    if not library or not Path(library).name.startswith("libpython"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UnsuitablePythonError(
            f"SERVE=inprocess needs a Python with a shared library, libpython{version}.so, which "
            f"{sys.executable} does not have: install the package libpython{version}, or build "
            "Python with --enable-shared"
        )
    return {
        "LD_PRELOAD": library,
        "PYTHONHOME": f"{sys.prefix}{os.pathsep}{sys.exec_prefix}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def gateway_filter() -> dict[str, Any]:
    """Returns the filter that has Python answer the requests whose route turns it on."""
    return _python_filter(_GATEWAY) | {"disabled": True}


def _python_filter(application: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("pyvoy._pyvoy")
    if spec is None or spec.origin is None:
        raise UnsuitablePythonError(f"pyvoy lacks its module _pyvoy: {INSTALL}")
    return {
        "name": _NAME,
        "typed_config": {
            "@type": _FILTER,
            "dynamic_module_config": {
                "module": {"local": {"filename": spec.origin}},
                "do_not_close": True,
            },
            "filter_name": "pyvoy",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": json.dumps(
                    {
                        "app": application,
                        "interface": "asgi",
                        # That of the application's own policy.
                        "loop": "asyncio",
                        # Without it a server that cannot start would not end Envoy.
                        "lifespan": True,
                    }
                ),
            },
        },
    }


def answered_by_python(routes: Iterable[Route]) -> list[Route]:
    """Returns routes of which those that lead to workers are answered here.

    Envoy's router, whose timeouts these would be, does not see them any more; the deadline is
    that of the connection manager. Streams of health and reflection, whose number the router
    limits, take the way through the listener `internal`.
    """
    return [_answered(route) if _is_answered(route) else route for route in routes]


def _is_answered(route: Route) -> bool:
    action = route.get("route", {})
    return action.get("cluster") == "server" and "priority" not in action


def _answered(route: Route) -> Route:
    action = dict(route["route"])
    seconds = action.pop("timeout", None)
    action.pop("retry_policy", None)
    if seconds and "max_stream_duration" not in action:
        action["max_stream_duration"] = {
            "max_stream_duration": seconds,
            "grpc_timeout_header_max": seconds,
        }
    of_filters = route.get("typed_per_filter_config", {}) | {_NAME: _ON}
    return route | {"route": action, "typed_per_filter_config": of_filters}


def native_listener(
    address: str, port: int, transport_socket: dict[str, Any] | None
) -> dict[str, Any]:
    """Returns the listener of native gRPC, which processes share."""
    of_both = ports.is_of_both_families(address)
    place = {"socket_address": {"address": address, "port_value": port, "ipv4_compat": of_both}}
    listener = _listener("native", place, _NATIVE, _NATIVE_CALLS)
    if transport_socket:
        listener["filter_chains"][0]["transport_socket"] = transport_socket
    return listener | {"enable_reuse_port": True}


def internal_listener(path: str) -> dict[str, Any]:
    """Returns the listener of the calls that Envoys make themselves, on a Unix socket."""
    place = {"pipe": {"path": path, "mode": 0o600}}
    return _listener("internal", place, _GATEWAY, _INTERNAL_CALLS)


def _listener(name: str, address: dict[str, Any], application: str, calls: int) -> dict[str, Any]:
    """Returns a listener of gRPC alone, without anything that a request does not need."""
    route = {
        "name": name,
        "match": {"prefix": "/"},
        "route": {
            "cluster": "server",
            # That of the client, if it gives one.
            "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
        },
    }
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "generate_request_id": False,
        "request_headers_timeout": "5s",
        # The server ends streams that are idle, and says so.
        "stream_idle_timeout": "0s",
        "max_request_headers_kb": 96,
        "http2_protocol_options": {
            "max_concurrent_streams": calls,
            "max_header_field_size_kb": 96,
            # Envoy holds as much of a stream's responses, too, for a client that takes none.
            "initial_stream_window_size": 1 << 16,
            "initial_connection_window_size": 1 << 20,
        },
        "server_header_transformation": "PASS_THROUGH",
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [_python_filter(application), _ROUTER],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{"filters": filters}],
    }
