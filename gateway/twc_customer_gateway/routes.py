"""Generates Envoy's route table from the HTTP annotations of the contract.

A REST request is routed twice. First it matches a REST route by its path and
method; requests without a token, or with a wrong method, media type or query
parameter get a direct response there. Then the transcoder turns it into an RPC
and clears the route cache, and it matches the RPC's route, which sets timeout
and retries. Native gRPC matches the RPC's route at once.

What a small body costs is bounded, so that it is read before the server has
verified the token. For a body that is large, or does not say its length, Envoy
asks the server first, and another Envoy reads it (`large_body_table`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from twc_customer_gateway import filters
from twc_customer_gateway.cors import Cors
from twc_customer_server import contract
from twc_customer_server.contract import BEARER_CHALLENGE

Route = dict[str, Any]
RetryPolicy = dict[str, Any]

# Seconds after which a stream of health or reflection ends.
WATCH_SECONDS = 3600
REFLECTION_SECONDS = 10

# Idle timeout of long-lived streams: longer than the server's own, so that the server
# ends the stream and reports why.
IDLE_SECONDS = contract.STREAM_IDLE_SECONDS + 30

# Seconds after which the one Envoy gives up on the other: it has answered long before,
# unless it hangs.
LARGE_BODY_SECONDS = 2 * contract.UPLOAD_SECONDS + 10

_TYPE = "type.googleapis.com/envoy."

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
_SMALL_BODY = {
    "name": "content-length",
    "range_match": {"start": 0, "end": filters.SMALL_BODY_BYTES + 1},
}


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


def table(service: ServiceDescriptor, cors: Cors) -> list[Route]:
    """Returns all routes of the gateway, in the order in which Envoy tries them."""
    rest = [*_rest_routes(service), _direct_response(404, {"prefix": "/"})]
    preflight = [
        _direct_response(status, match) | {"response_headers_to_add": headers}
        for status, match, headers in cors.preflights()
    ]
    return [*_rpc_routes(service), *_health_and_reflection(), *preflight, *rest]


def large_body_table(service: ServiceDescriptor) -> list[Route]:
    """Returns the routes of the Envoy that reads large bodies, of requests that were checked."""
    rest = [
        _transcode(_regex(route.path), route, []) for route in http_routes(service) if route.body
    ]
    return [*_rpc_routes(service), *rest]


def _rpc_routes(service: ServiceDescriptor) -> list[Route]:
    """Returns the routes of each RPC, by its gRPC path."""
    methods = {route.rpc.name: route.method for route in http_routes(service)}
    routes = []
    for rpc in service.methods:
        route = _rpc_route(rpc, methods.get(rpc.name))
        if not rpc.client_streaming:
            routes.append(_of_small_body(route))
        routes.append(route)
    return routes


def _of_small_body(route: Route) -> Route:
    """Returns the route of an RPC for requests whose small body is read at once."""
    match = route["match"] | {"headers": [_SMALL_BODY]}
    return route | {"match": match, "typed_per_filter_config": filters.READ_AT_ONCE}


def _health_and_reflection() -> list[Route]:
    """Returns routes of the standard gRPC services for health and reflection.

    Those of streams end after some seconds, and their number has a limit of its
    own (priority HIGH).
    """
    health, reflection = "/grpc.health.v1.Health/", "/grpc.reflection."
    return [
        _control_route({"path": health + "Check"}, contract.READ_SECONDS, {}),
        _control_route({"prefix": health}, WATCH_SECONDS, filters.UNBUFFERED),
        _control_route({"prefix": reflection}, REFLECTION_SECONDS, filters.UNBUFFERED),
    ]


def _control_route(match: dict[str, str], seconds: int, of_filters: filters.Filters) -> Route:
    [path] = match.values()
    return {
        "name": path.strip("/"),
        "match": match,
        "route": {
            "cluster": "server",
            "priority": "HIGH",
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": f"{seconds}s"},
        },
        "typed_per_filter_config": filters.NOT_AUTHORIZED | of_filters,
    }


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
        route["typed_per_filter_config"] = filters.UNBUFFERED
    return route


def _path_routes(regex: str, routes: list[HttpRoute]) -> Iterator[Route]:
    """Yields the routes of one path, whose methods `routes` has."""
    for route in routes:
        yield _challenge(regex, route)
        if not route.rpc.client_streaming:
            yield _transcode_at_once(regex, route)
        if route.body:
            yield _pass_on(regex, route)
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


def _transcode_at_once(regex: str, route: HttpRoute) -> Route:
    """Returns the route of requests with a small body or none, which become RPCs here."""
    transcoding = _transcode(regex, route, [_SMALL_BODY] if route.body else [])
    of_filters = filters.READ_AT_ONCE | transcoding["typed_per_filter_config"]
    return transcoding | {"typed_per_filter_config": of_filters}


def _pass_on(regex: str, route: HttpRoute) -> Route:
    """Returns the route of other requests with a body, which another Envoy reads."""
    return {
        "name": f"rest-{route.rpc.name}",
        "match": _match(regex, route.method, [_query(route), _JSON]),
        "route": {
            "cluster_header": contract.LARGE_BODIES_HEADER,
            "timeout": f"{LARGE_BODY_SECONDS}s",
        },
        "typed_per_filter_config": filters.PASSED_ON | filters.own_headers(has_body=True),
    }


def _transcode(regex: str, route: HttpRoute, headers: list[dict[str, Any]]) -> Route:
    """Returns the route of well-formed requests, which the transcoder turns into RPCs."""
    of_filters: filters.Filters = filters.REST | filters.own_headers(has_body=bool(route.body))
    if not route.rpc.server_streaming:
        of_filters["trailers"] = filters.LUA_ON
    if route.body:
        of_filters["strict_json"] = filters.LUA_ON
        headers = [_JSON, *headers]
    if route.rpc.client_streaming:
        of_filters["envoy.filters.http.buffer"] = filters.buffer_up_to(contract.MAX_UPLOAD_BYTES)
    return {
        "name": f"rest-{route.rpc.name}",
        "match": _match(regex, route.method, [_query(route), *headers]),
        "route": {"cluster": "server"},
        "metadata": {"filter_metadata": {"strict_json": {"body": route.rpc.name}}},
        "typed_per_filter_config": of_filters,
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
        "typed_per_filter_config": filters.ANSWERED_AT_ONCE,
    }


def _match(regex: str, method: str = "", headers: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    # The method comes first: Envoy matches headers before the path, so most routes fail there.
    methods = [{"name": ":method", "string_match": {"exact": method}}] if method else []
    return {"safe_regex": {"regex": regex}, "headers": [*methods, *headers]}


def _regex(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"
