"""Envoy's routes, made from the HTTP annotations of the contract.

A REST request passes the routes twice. By path and method it first meets the
routes of paths, where a wrong method or media type is answered at once. Then
the transcoder has made an RPC of it, and the RPC's own route says how long it
may take. Native gRPC comes in at the latter.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from twc_customer_server import contract
from twc_customer_server.contract import BEARER_CHALLENGE

Route = dict[str, Any]
RetryPolicy = dict[str, Any]

# Seconds in which something must come of an endless call: longer than the
# server waits for it, so that the server says why the call ends.
IDLE_SECONDS = contract.STREAM_IDLE_SECONDS + 30

_TYPE = "type.googleapis.com/envoy."
_BUFFER = _TYPE + "extensions.filters.http.buffer.v3.BufferPerRoute"
_LUA = _TYPE + "extensions.filters.http.lua.v3.LuaPerRoute"
_HEADERS = _TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
_FILTER = _TYPE + "config.route.v3.FilterConfig"

_PREVIOUS_HOSTS = {
    "name": "previous_hosts",
    "typed_config": {
        "@type": _TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}


def _retry(*failures: str) -> RetryPolicy:
    return {
        "retry_on": ",".join(failures),
        "num_retries": 2,
        "retry_host_predicate": [_PREVIOUS_HOSTS],
        # A dead worker is the least busy: of two, it is taken in all but one
        # of 4,096 choices.
        "host_selection_retry_max_attempts": 50_000,
    }


# No worker has begun with the call in these cases.
_NOT_BEGUN = ("connect-failure", "refused-stream", "reset-before-request")
RETRY_POLICY = _retry(*_NOT_BEGUN)
# What changes nothing may be begun again when the worker ended under it.
_READ_RETRY_POLICY = _retry(*_NOT_BEGUN, "reset")

# The transcoder refuses what is no RPC, answers of Envoy's own included.
_NOT_TRANSCODED = {"envoy.filters.http.grpc_json_transcoder": {"@type": _FILTER, "disabled": True}}
# gRPC-Web is for the paths of RPCs. On those of REST it would put JSON into headers.
_REST = {"envoy.filters.http.grpc_web": {"@type": _FILTER, "disabled": True}}
# Scripts that are off unless a route wants them.
_LUA_ON = {"@type": _FILTER, "config": {"@type": _LUA}}
# The server bounds streams; buffering would only hold them back.
_UNBUFFERED = {"envoy.filters.http.buffer": {"@type": _BUFFER, "disabled": True}}


def _header(name: str, regex: str) -> dict[str, Any]:
    """Matches requests by a header; one that is missing is an empty one."""
    return {
        "name": name,
        "string_match": {"safe_regex": {"regex": regex}},
        "treat_missing_header_as_empty": True,
    }


_JSON = _header("content-type", r"(?i)application/json\s*(;.*)?")
_NO_TOKEN = _header("authorization", "(?i)bearer .+") | {"invert_match": True}
_NOT_JSON = _JSON | {"invert_match": True}


class HttpRoute(NamedTuple):
    """Where the contract puts an RPC; `body` is the request's field that the body is, if any."""

    rpc: MethodDescriptor
    method: str
    path: str
    body: str

    @property
    def query(self) -> list[FieldDescriptor]:
        """The fields of the request that neither path nor body holds."""
        elsewhere = {self.body, *re.findall(r"\{(\w+)\}", self.path)}
        return [field for field in self.rpc.input_type.fields if field.name not in elsewhere]


def http_routes(service: ServiceDescriptor) -> list[HttpRoute]:
    """The HTTP route of every RPC that has one."""
    routes = []
    for rpc in service.methods:
        options = rpc.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            rule = options.Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            routes.append(HttpRoute(rpc, verb.upper(), getattr(rule, verb), rule.body))
    return routes


def table(service: ServiceDescriptor, origins: Sequence[str]) -> list[Route]:
    """All routes, in the order in which they are tried; pages of the origins may call."""
    rest = [*_rest(service), _answer(404, {"prefix": "/"})]
    return [*_rpcs(service), *_beside(), *_preflight(origins), *rest]


def _rpcs(service: ServiceDescriptor) -> list[Route]:
    """A route for each RPC, by the path that gRPC gives it."""
    methods = {route.rpc.name: route.method for route in http_routes(service)}
    return [_rpc(rpc, methods.get(rpc.name)) for rpc in service.methods]


def _beside() -> list[Route]:
    """Routes of what comes beside the contract: the server's own health and reflection."""
    return [
        {
            "name": prefix.strip("/"),
            "match": {"prefix": prefix},
            # A stream holds a thread of the server, so that it must not last.
            "route": {
                "cluster": "server",
                "timeout": "0s",
                "max_stream_duration": {"max_stream_duration": f"{seconds}s"},
            },
            "typed_per_filter_config": _UNBUFFERED,
        }
        for prefix, seconds in (("/grpc.health.v1.", 3600), ("/grpc.reflection.", 10))
    ]


def _preflight(origins: Sequence[str]) -> list[Route]:
    """Leads to the CORS filter, which takes no notice of routes that answer by themselves."""
    match = _match(".*", "OPTIONS", [_header("origin", "|".join(map(re.escape, origins)))])
    return (
        [{"name": "preflight", "match": match, "route": {"cluster": "server"}}] if origins else []
    )


def _rest(service: ServiceDescriptor) -> list[Route]:
    """For each path: routes of the methods it takes, then of what is wrong with others."""
    by_path: dict[str, list[HttpRoute]] = defaultdict(list)
    for route in http_routes(service):
        # Ids and references share a place in the path, so their routes share a regex.
        by_path[_regex(route.path)].append(route)
    # Literal paths go first: `/customers/search` is not the customer "search".
    return [
        route
        for regex in sorted(by_path, key=lambda regex: "[^/]" in regex)
        for route in _path(regex, by_path[regex])
    ]


def _rpc(rpc: MethodDescriptor, http_method: str | None) -> Route:
    """The route of an RPC; one without an HTTP method is an endless stream."""
    route: Route = {
        "name": rpc.name,
        "match": {"path": f"/{rpc.containing_service.full_name}/{rpc.name}"},
        "route": {
            "cluster": "server",
            "timeout": "0s",
            "retry_policy": _READ_RETRY_POLICY if http_method == "GET" else RETRY_POLICY,
        },
    }
    if rpc.name in contract.LONG_LIVED_RPCS:
        route["route"]["idle_timeout"] = f"{IDLE_SECONDS}s"
    else:
        seconds = contract.READ_SECONDS if http_method == "GET" else contract.WRITE_SECONDS
        if rpc.client_streaming:
            seconds = contract.UPLOAD_SECONDS
        deadline = {"header": {"key": "grpc-timeout", "value": f"{seconds}S"}}
        route["route"]["timeout"] = f"{seconds}s"
        # So that the server, too, knows when nobody waits any more.
        route["request_headers_to_add"] = [deadline | {"append_action": "ADD_IF_ABSENT"}]
    if rpc.client_streaming:
        route["typed_per_filter_config"] = _UNBUFFERED
    return route


def _path(regex: str, routes: list[HttpRoute]) -> Iterator[Route]:
    for route in routes:
        yield _challenge(regex, route)
        yield _pass(regex, route)
    for route in routes:
        if route.body:
            yield _answer(415, _match(regex, route.method, [_NOT_JSON]))
        yield _answer(400, _match(regex, route.method), _takes(route))
    allow = {"header": {"key": "allow", "value": ", ".join(route.method for route in routes)}}
    yield _answer(405, _match(regex)) | {"response_headers_to_add": [allow]}


def _challenge(regex: str, route: HttpRoute) -> Route:
    """The answer to requests without a token, before anything of them is read.

    Whether a token is good only the server can tell.
    """
    header = {"header": {"key": "www-authenticate", "value": BEARER_CHALLENGE}}
    answer = _answer(401, _match(regex, route.method, [_NO_TOKEN]))
    return answer | {"response_headers_to_add": [header]}


def _pass(regex: str, route: HttpRoute) -> Route:
    """The route to the transcoder, of requests that are for it."""
    # Headers that would reach the server as gRPC's own go no further.
    mutations: list[dict[str, Any]] = [
        {"remove_on_match": {"key_matcher": {"prefix": "grpc-", "ignore_case": True}}},
        {"remove_on_match": {"key_matcher": {"suffix": "-bin", "ignore_case": True}}},
    ]
    filters: dict[str, Any] = {**_REST}
    if not route.rpc.server_streaming:
        filters["trailers"] = _LUA_ON
    if route.body:
        filters["strict_json"] = _LUA_ON
    else:
        mutations.append({"remove": "content-type"})
    if route.rpc.client_streaming:
        buffer = {"@type": _BUFFER, "buffer": {"max_request_bytes": contract.MAX_UPLOAD_BYTES}}
        filters["envoy.filters.http.buffer"] = buffer
    filters["envoy.filters.http.header_mutation"] = {
        "@type": _HEADERS,
        "mutations": {"request_mutations": mutations},
    }
    headers = [_with_query(route), *([_JSON] if route.body else [])]
    return {
        "name": f"rest-{route.rpc.name}",
        "match": _match(regex, route.method, headers),
        "route": {"cluster": "server"},
        "metadata": {"filter_metadata": {"strict_json": {"body": route.rpc.name}}},
        "typed_per_filter_config": filters,
    }


def _with_query(route: HttpRoute) -> dict[str, Any]:
    """Matches only the parameters that a path takes.

    The transcoder would let others set fields inside the body.
    """
    names = "|".join(name for field in route.query for name in {field.name, field.json_name})
    parameters = f"(&|({names})=[^&]*)*" if names else ""
    return _header(":path", rf"[^?]*(\?{parameters})?")


def _takes(route: HttpRoute) -> str:
    names = ", ".join(field.json_name for field in route.query)
    return f"this path takes the query parameters {names}" if names else "this path takes no query"


def _answer(status: int, match: dict[str, Any], body: str = "") -> Route:
    return {
        "name": f"rest-{status}",
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "typed_per_filter_config": _NOT_TRANSCODED | _REST,
    }


def _match(regex: str, method: str = "", headers: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    # The method first: Envoy asks for the path last, so that most routes are out at once.
    methods = [{"name": ":method", "string_match": {"exact": method}}] if method else []
    return {"safe_regex": {"regex": regex}, "headers": [*methods, *headers]}


def _regex(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"
