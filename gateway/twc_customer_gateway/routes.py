"""Generates Envoy's route table from the HTTP annotations of the contract.

A REST request is routed twice. First it matches a REST route by its path and
method; requests without a token, or with a wrong method, media type or query
parameter get a direct response there. Then the transcoder turns it into an RPC
and clears the route cache, and it matches the RPC's route, which sets timeout
and retries. Native gRPC matches the RPC's route at once.
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

# Idle timeout of long-lived streams: longer than the server's own, so that the server
# ends the stream and reports why.
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
        # A dead worker is the least busy one, so that the load balancer keeps choosing it:
        # of two workers, in all but one of 4,096 choices.
        "host_selection_retry_max_attempts": 50_000,
    }


# In these cases no worker has received the request.
_NOT_SENT = ("connect-failure", "refused-stream", "reset-before-request")
RETRY_POLICY = _retry(*_NOT_SENT)
# Reads are also retried when the worker ended while it ran them.
_READ_RETRY_POLICY = _retry(*_NOT_SENT, "reset")

# The transcoder rejects requests that are no RPC, even those with a direct response.
_NOT_TRANSCODED = {"envoy.filters.http.grpc_json_transcoder": {"@type": _FILTER, "disabled": True}}
# gRPC-Web is for the paths of RPCs: on REST paths its filter would move JSON into headers.
_REST = {"envoy.filters.http.grpc_web": {"@type": _FILTER, "disabled": True}}
# Turns on a Lua filter that is disabled by default.
_LUA_ON = {"@type": _FILTER, "config": {"@type": _LUA}}
# The server limits the size of streams; buffering would only delay them.
_UNBUFFERED = {"envoy.filters.http.buffer": {"@type": _BUFFER, "disabled": True}}


def _header(name: str, regex: str) -> dict[str, Any]:
    """Returns a matcher of a header; a missing header matches as an empty one."""
    return {
        "name": name,
        "string_match": {"safe_regex": {"regex": regex}},
        "treat_missing_header_as_empty": True,
    }


_JSON = _header("content-type", r"(?i)application/json\s*(;.*)?")
_NO_TOKEN = _header("authorization", "(?i)bearer .+") | {"invert_match": True}
_NOT_JSON = _JSON | {"invert_match": True}


class HttpRoute(NamedTuple):
    """The REST method and path of an RPC, and the request's field that is the body, if any."""

    rpc: MethodDescriptor
    method: str
    path: str
    body: str

    @property
    def query(self) -> list[FieldDescriptor]:
        """The fields of the request that are query parameters: not in the path or the body."""
        elsewhere = {self.body, *re.findall(r"\{(\w+)\}", self.path)}
        return [field for field in self.rpc.input_type.fields if field.name not in elsewhere]


def http_routes(service: ServiceDescriptor) -> list[HttpRoute]:
    """Returns the REST route of every RPC that has an HTTP annotation."""
    routes = []
    for rpc in service.methods:
        options = rpc.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            rule = options.Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            routes.append(HttpRoute(rpc, verb.upper(), getattr(rule, verb), rule.body))
    return routes


def table(service: ServiceDescriptor, origins: Sequence[str]) -> list[Route]:
    """Returns all routes, in the order in which Envoy tries them.

    `origins` are those whose pages may call (CORS).
    """
    rest = [*_rest_routes(service), _direct_response(404, {"prefix": "/"})]
    return [*_rpc_routes(service), *_health_and_reflection(), *_preflight(origins), *rest]


def _rpc_routes(service: ServiceDescriptor) -> list[Route]:
    """Returns a route for each RPC, by its gRPC path."""
    methods = {route.rpc.name: route.method for route in http_routes(service)}
    return [_rpc_route(rpc, methods.get(rpc.name)) for rpc in service.methods]


def _health_and_reflection() -> list[Route]:
    """Returns routes of the standard gRPC services for health and reflection."""
    return [
        {
            "name": prefix.strip("/"),
            "match": {"prefix": prefix},
            # Each stream occupies a thread of the server, so that its duration is limited.
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
    """Returns a route of CORS preflight requests, if there are origins.

    The CORS filter ignores routes with a direct response, so that this one must
    name a cluster, though no request reaches it.
    """
    match = _match(".*", "OPTIONS", [_header("origin", "|".join(map(re.escape, origins)))])
    return (
        [{"name": "preflight", "match": match, "route": {"cluster": "server"}}] if origins else []
    )


def _rest_routes(service: ServiceDescriptor) -> list[Route]:
    """Returns for each path the routes of its methods, then of the errors of other requests."""
    by_path: dict[str, list[HttpRoute]] = defaultdict(list)
    for route in http_routes(service):
        # Ids and references are in the same place of the path, so their routes share a regex.
        by_path[_regex(route.path)].append(route)
    # Literal paths come first: `/customers/search` is not the customer "search".
    return [
        route
        for regex in sorted(by_path, key=lambda regex: "[^/]" in regex)
        for route in _path_routes(regex, by_path[regex])
    ]


def _rpc_route(rpc: MethodDescriptor, http_method: str | None) -> Route:
    """Returns the route of an RPC, with the deadline and retries that its kind has."""
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
        # Passes the deadline on, so that the server stops when the client has given up.
        route["request_headers_to_add"] = [deadline | {"append_action": "ADD_IF_ABSENT"}]
    if rpc.client_streaming:
        route["typed_per_filter_config"] = _UNBUFFERED
    return route


def _path_routes(regex: str, routes: list[HttpRoute]) -> Iterator[Route]:
    """Yields the routes of one path, whose methods `routes` has."""
    for route in routes:
        yield _challenge(regex, route)
        yield _transcode(regex, route)
    for route in routes:
        if route.body:
            yield _direct_response(415, _match(regex, route.method, [_NOT_JSON]))
        yield _direct_response(400, _match(regex, route.method), _allowed_query(route))
    allow = {"header": {"key": "allow", "value": ", ".join(route.method for route in routes)}}
    yield _direct_response(405, _match(regex)) | {"response_headers_to_add": [allow]}


def _challenge(regex: str, route: HttpRoute) -> Route:
    """Returns the 401 for requests without a bearer token, before their body is read.

    Tokens themselves are verified by the server.
    """
    header = {"header": {"key": "www-authenticate", "value": BEARER_CHALLENGE}}
    response = _direct_response(401, _match(regex, route.method, [_NO_TOKEN]))
    return response | {"response_headers_to_add": [header]}


def _transcode(regex: str, route: HttpRoute) -> Route:
    """Returns the route of well-formed requests, which the transcoder turns into RPCs."""
    # The server would take these headers for gRPC's own.
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
    headers = [_query(route), *([_JSON] if route.body else [])]
    return {
        "name": f"rest-{route.rpc.name}",
        "match": _match(regex, route.method, headers),
        "route": {"cluster": "server"},
        "metadata": {"filter_metadata": {"strict_json": {"body": route.rpc.name}}},
        "typed_per_filter_config": filters,
    }


def _query(route: HttpRoute) -> dict[str, Any]:
    """Returns a matcher of requests that have only the path's query parameters.

    The transcoder would let others set fields inside the body.
    """
    names = "|".join(name for field in route.query for name in {field.name, field.json_name})
    parameters = f"(&|({names})=[^&]*)*" if names else ""
    return _header(":path", rf"[^?]*(\?{parameters})?")


def _allowed_query(route: HttpRoute) -> str:
    names = ", ".join(field.json_name for field in route.query)
    return f"the query parameters of this path are {names}" if names else "this path has no query"


def _direct_response(status: int, match: dict[str, Any], body: str = "") -> Route:
    return {
        "name": f"rest-{status}",
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "typed_per_filter_config": _NOT_TRANSCODED | _REST,
    }


def _match(regex: str, method: str = "", headers: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    # The method comes first: Envoy matches headers before the path, so most routes fail there.
    methods = [{"name": ":method", "string_match": {"exact": method}}] if method else []
    return {"safe_regex": {"regex": regex}, "headers": [*methods, *headers]}


def _regex(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"
