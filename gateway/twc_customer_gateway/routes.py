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

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from twc_customer_gateway import filters
from twc_customer_gateway.cors import Cors
from twc_customer_gateway.matchers import (
    GRPC,
    HAS_TOKEN,
    JSON,
    NO_GRPC,
    NO_TOKEN,
    NO_TRAILERS,
    NOT_COMPRESSED,
    NOT_JSON,
    READABLE,
    SMALL_BODY,
    UNREADABLE,
    HttpRoute,
    allowed_query,
    http_routes,
    match,
    path_regex,
    query,
)
from twc_customer_gateway.rpc_routes import Route, health_and_reflection, rpc_routes
from twc_customer_server import contract
from twc_customer_server.contract import BEARER_CHALLENGE

# Seconds in which the next part of a request's body must come.
BODY_IDLE_SECONDS = 10

# The other Envoy, which reads large bodies.
LARGE_BODIES_CLUSTER = "large_bodies"

# Seconds after which the one Envoy gives up on the other: it has answered long before,
# unless it hangs.
LARGE_BODY_SECONDS = 2 * contract.UPLOAD_SECONDS + 10

_WANTS_JSON = "the header Content-Type must be application/json"
_WANTS_GRPC = (
    "the header Content-Type of an RPC must be application/grpc or application/grpc-web; "
    "JSON has the routes below /api/v2"
)
_WANTS_GZIP = "the header Content-Encoding must be gzip or absent"

# The RPC whose requests are tried first, and the ids that it is asked for: no other path of the
# API has one in their place.
_MOST_USED_RPC = "GetCustomer"
_ID = "[0-9a-f]{8}-[0-9a-f-]{27}"

# The path that may have its reference in the query as well.
_REF_PATH = "/{customer_ref}/ref"


def table(  # noqa: PLR0913 - of independent settings
    service: ServiceDescriptor,
    cors: Cors,
    prefix: str = "",
    workers: int = 1,
    site: Iterable[Route] = (),
    *,
    is_traced: bool = False,
) -> list[Route]:
    """Returns all routes of the gateway to some workers, in the order in which Envoy tries them.

    Paths of the API may begin with a prefix. `site` has the routes of pages. The server is told
    which REST route a request has if calls are traced.
    """
    # No path matches CONNECT, whose body, the tunnel, would be waited for.
    others: list[dict[str, Any]] = [{"prefix": "/"}, {"connect_matcher": {}}]
    nothing = (direct_response(404, match) for match in others)
    rest = [*_rest_routes(service, prefix, is_traced=is_traced), *site, *nothing]
    preflight = [
        direct_response(status, match) | {"response_headers_to_add": headers}
        for status, match, headers in cors.preflights()
    ]
    # Pages ask before calls of gRPC-Web, too, whose routes match any method.
    return [
        *_most_used_routes(service, prefix, is_traced=is_traced),
        *preflight,
        *_refused_rpcs(service),
        *rpc_routes(service, workers),
        *health_and_reflection(),
        _liveness(),
        *rest,
    ]


def large_body_table(service: ServiceDescriptor, prefix: str = "", workers: int = 1) -> list[Route]:
    """Returns the routes of the Envoy that reads large bodies, of requests that were checked."""
    rest = [
        _transcode(path_regex(route.path, prefix), route, [])
        for route in http_routes(service)
        if route.body
    ]
    return [*rpc_routes(service, workers), *rest]


def _most_used_routes(
    service: ServiceDescriptor, prefix: str, *, is_traced: bool
) -> Iterator[Route]:
    """Yields the routes of most requests, each of which has the effect of a later one."""
    for route in http_routes(service):
        if route.rpc.name == _MOST_USED_RPC:
            regex = path_regex(route.path, prefix, _ID)
            at_once = _transcode_at_once(regex, route._replace(is_traced=is_traced))
            yield at_once | {"match": match(regex, route.method, [HAS_TOKEN, *query(route)])}


def _refused_rpcs(service: ServiceDescriptor) -> Iterator[Route]:
    """Yields the routes of requests for RPCs that are neither gRPC nor gRPC-Web.

    Without trailers, which HTTP/1.1 clients of gRPC do not get, an answer would lack its status.
    """
    rpcs = {"prefix": f"/{service.full_name}/"}
    yield direct_response(505, rpcs | {"headers": [NO_TRAILERS, GRPC]})
    yield direct_response(415, rpcs | {"headers": [NO_GRPC]}, _WANTS_GRPC)


def _rest_routes(service: ServiceDescriptor, prefix: str, *, is_traced: bool) -> list[Route]:
    """Returns for each path the routes of its methods, then of the errors of other requests."""
    by_path: dict[str, list[HttpRoute]] = defaultdict(list)
    for route in http_routes(service):
        # Ids and references are in the same place of the path, so their routes share a regex.
        by_path[path_regex(route.path, prefix)].append(route._replace(is_traced=is_traced))
    # Literal paths come first: `/customers/search` is not the customer "search".
    return [
        route
        for regex in sorted(by_path, key=lambda regex: "[^/]" in regex)
        for route in _path_routes(regex, by_path[regex])
    ]


def _path_routes(regex: str, routes: list[HttpRoute]) -> Iterator[Route]:
    """Yields the routes of one path, whose methods `routes` has."""
    for route in routes:
        yield _challenge(regex, route)
        if not route.rpc.client_streaming:
            yield _transcode_at_once(regex, route)
        if route.body:
            yield _pass_on(regex, route)
        if route.method == "GET":
            yield from _of_head(regex, route)
        if route.path.endswith(_REF_PATH):
            yield _of_same_ref(regex, route)
    for route in routes:
        if route.body:
            yield direct_response(415, match(regex, route.method, [NOT_JSON]), _WANTS_JSON)
            yield direct_response(415, match(regex, route.method, [UNREADABLE]), _WANTS_GZIP)
        for method in _methods(route):
            yield direct_response(400, match(regex, method), allowed_query(route))
    allowed = ", ".join(method for route in routes for method in _methods(route))
    allow = {"header": {"key": "allow", "value": allowed}}
    yield direct_response(405, match(regex)) | {"response_headers_to_add": [allow]}


def _methods(route: HttpRoute) -> list[str]:
    return ["GET", "HEAD"] if route.method == "GET" else [route.method]


def _of_head(regex: str, route: HttpRoute) -> Iterator[Route]:
    """Yields the routes of HEAD requests for what GET returns."""
    get = _transcode_at_once(regex, route)
    yield _challenge(regex, route._replace(method="HEAD"))
    yield get | {
        "match": match(regex, "HEAD", query(route)),
        "typed_per_filter_config": get["typed_per_filter_config"] | {"head": filters.LUA_ON},
    }


def _of_same_ref(regex: str, route: HttpRoute) -> Route:
    """Returns the route of requests that repeat the path's reference in the query."""
    alone = _transcode_at_once(regex, route)
    reference = route.rpc.input_type.fields_by_name["customer_ref"]
    return alone | {
        "match": match(regex, route.method, query(route, [reference])),
        "typed_per_filter_config": alone["typed_per_filter_config"] | {"same_ref": filters.LUA_ON},
    }


def _challenge(regex: str, route: HttpRoute) -> Route:
    """Returns the 401 for requests without a bearer token, before their body is read.

    Tokens themselves are verified by the server.
    """
    header = {"header": {"key": "www-authenticate", "value": BEARER_CHALLENGE}}
    response = direct_response(401, match(regex, route.method, [NO_TOKEN]))
    return response | {"response_headers_to_add": [header]}


def _transcode_at_once(regex: str, route: HttpRoute) -> Route:
    """Returns the route of requests with a small body or none, which become RPCs here."""
    transcoding = _transcode(regex, route, [SMALL_BODY, NOT_COMPRESSED] if route.body else [])
    of_filters = filters.READ_AT_ONCE | transcoding["typed_per_filter_config"]
    return transcoding | {"typed_per_filter_config": of_filters}


def _pass_on(regex: str, route: HttpRoute) -> Route:
    """Returns the route of other requests with a body, which another Envoy reads."""
    return {
        "name": f"rest-{route.rpc.name}",
        "match": match(regex, route.method, [*query(route), JSON, READABLE]),
        "route": {
            "cluster": LARGE_BODIES_CLUSTER,
            "timeout": f"{LARGE_BODY_SECONDS}s",
        },
        "typed_per_filter_config": filters.PASSED_ON | filters.COUNTED | _own_headers(route),
    }


def _transcode(regex: str, route: HttpRoute, headers: list[dict[str, Any]]) -> Route:
    """Returns the route of well-formed requests, which the transcoder turns into RPCs."""
    of_filters: filters.Filters = {
        **filters.REST,
        **_own_headers(route),
        "status": filters.LUA_ON,
    }
    if route.body:
        of_filters["strict_json"] = filters.LUA_ON
        headers = [JSON, *headers]
    if route.rpc.client_streaming:
        of_filters["envoy.filters.http.buffer"] = filters.buffer_up_to(contract.MAX_UPLOAD_BYTES)
    return {
        "name": f"rest-{route.rpc.name}",
        "match": match(regex, route.method, [*query(route), *headers]),
        # Once the body has come the route of the RPC applies.
        "route": {"cluster": "server", "idle_timeout": f"{BODY_IDLE_SECONDS}s"},
        "metadata": {"filter_metadata": {"strict_json": {"body": route.rpc.name}}},
        "typed_per_filter_config": of_filters,
    }


def _own_headers(route: HttpRoute) -> filters.Filters:
    named = f"{route.method} {route.path}" if route.is_traced else ""
    return filters.own_headers(has_body=bool(route.body), named=named)


def _liveness() -> Route:
    """Returns the route that tells that this Envoy answers, whatever else does."""
    route = direct_response(200, {"path": "/livez"})
    return route | {"typed_per_filter_config": filters.ANSWERED_AT_ONCE | filters.NOT_LIMITED}


def direct_response(status: int, match: dict[str, Any], body: str = "") -> Route:
    """Returns a route whose requests get a status at once."""
    return {
        "name": f"rest-{status}",
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "typed_per_filter_config": filters.ANSWERED_AT_ONCE,
    }
