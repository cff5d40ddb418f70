"""Routes RPCs by their gRPC path, with the deadline, retries and idle timeout of their kind."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from twc_customer_gateway import filters
from twc_customer_gateway.matchers import SMALL_BODY, http_routes
from twc_customer_server import contract

Route = dict[str, Any]
RetryPolicy = dict[str, Any]

# Seconds after which a stream of health or reflection ends.
WATCH_SECONDS = 3600
REFLECTION_SECONDS = 10

# Idle timeout of long-lived streams: longer than the server's own, so that the server
# ends the stream and reports why.
IDLE_SECONDS = contract.STREAM_IDLE_SECONDS + 30

# Idle timeout of other RPCs: what their deadline leaves over.
_IDLE_MARGIN_SECONDS = 3

# RPCs whose routes are tried first.
_MOST_USED = ("GetCustomer", "GetCustomerByRef", "CreateCustomer", "UpdateCustomer")

# The server's deadline of an RPC: by how much it is later than the gateway's.
_SERVER_MARGIN_SECONDS = 1

_TYPE = "type.googleapis.com/envoy."

_ANOTHER_WORKER = {
    "retry_host_predicate": [
        {
            "name": "previous_hosts",
            "typed_config": {
                "@type": _TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    # A dead worker is the least busy one, so that the load balancer keeps choosing it:
    # of two workers, in all but one of 4,096 choices.
    "host_selection_retry_max_attempts": 50_000,
}

# In these cases no worker has received the request, or begun it.
_NOT_RUN = ("connect-failure", "refused-stream", "reset-before-request", "retriable-headers")
# A worker that stops says so, but for calls that reach grpcio when it was told to stop: those
# it cancels with a message that nobody else sends.
_NOT_BEGUN = [
    {"name": contract.NOT_BEGUN_HEADER, "present_match": True},
    {"name": "grpc-message", "string_match": {"exact": "CANCELLED"}},
]
# Questions of authorization change nothing, so that they may be repeated.
_OF_AUTHORIZATION = ("connect-failure", "refused-stream", "reset", "cancelled", "unavailable")


def retry_policy(workers: int, *more_failures: str) -> RetryPolicy:
    """Returns the policy of calls that another worker runs if none has begun them."""
    failures = (*_NOT_RUN, *more_failures)
    return _retry(workers, failures) | {"retriable_headers": _NOT_BEGUN}


def authorization_retry_policy(workers: int) -> RetryPolicy:
    """Returns the policy of questions whether a token is good."""
    return _retry(workers, _OF_AUTHORIZATION)


def _retry(workers: int, failures: Sequence[str]) -> RetryPolicy:
    policy = {"retry_on": ",".join(failures), "num_retries": 2}
    # To look for another one in vain takes long.
    return policy | (_ANOTHER_WORKER if workers > 1 else {})


def rpc_routes(service: ServiceDescriptor, workers: int) -> list[Route]:
    """Returns the routes of each RPC, by its gRPC path, to a number of workers."""
    methods = {route.rpc.name: route.method for route in http_routes(service)}
    routes = []
    # Reads and writes of one customer are most of the calls.
    for rpc in sorted(service.methods, key=lambda rpc: rpc.name not in _MOST_USED):
        route = _rpc_route(rpc, methods.get(rpc.name), workers)
        if not rpc.client_streaming:
            routes.append(_of_small_body(route))
        routes.append(route)
    return routes


def _of_small_body(route: Route) -> Route:
    """Returns the route of an RPC for requests whose small body is read at once."""
    match = route["match"] | {"headers": [SMALL_BODY]}
    return route | {"match": match, "typed_per_filter_config": filters.READ_AT_ONCE}


def _rpc_route(rpc: MethodDescriptor, http_method: str | None, workers: int) -> Route:
    """Returns the route of an RPC, with the deadline and retries that its kind has."""
    # Reads are also retried when the worker ended while it ran them.
    more_failures = ["reset"] if http_method == "GET" else []
    route: Route = {
        "name": rpc.name,
        "match": {"path": f"/{rpc.containing_service.full_name}/{rpc.name}"},
        "route": {
            "cluster": "server",
            "timeout": "0s",
            "retry_policy": retry_policy(workers, *more_failures),
        },
    }
    if rpc.name in contract.LONG_LIVED_RPCS:
        route["route"]["idle_timeout"] = f"{IDLE_SECONDS}s"
    else:
        seconds = contract.READ_SECONDS if http_method == "GET" else contract.WRITE_SECONDS
        if rpc.client_streaming:
            seconds = contract.UPLOAD_SECONDS
        elif rpc.name in contract.WAITING_RPCS:
            seconds = contract.LIST_CHANGES_SECONDS
        route["route"]["timeout"] = f"{seconds}s"
        route["route"]["idle_timeout"] = f"{seconds + _IDLE_MARGIN_SECONDS}s"
        # Passes a deadline on, so that the server stops when the client has given up. It is later
        # than that of the gateway, whose error has details, as grpcio's would not.
        late = seconds + _SERVER_MARGIN_SECONDS
        deadline = filters.header_option("grpc-timeout", f"{late}S", "ADD_IF_ABSENT")
        route["request_headers_to_add"] = [deadline]
    if rpc.client_streaming:
        route["typed_per_filter_config"] = filters.UNBUFFERED
    return route


def health_and_reflection() -> list[Route]:
    """Returns routes of the standard gRPC services for health and reflection.

    Those of streams end after some seconds, and their number has a limit of its
    own (priority HIGH), which keeps no check from its answer.
    """
    health, reflection = "/grpc.health.v1.Health/", "/grpc.reflection."
    streams = {"priority": "HIGH"}, filters.UNBUFFERED
    return [
        _control_route({"path": health + "Check"}, contract.READ_SECONDS, {}, {}),
        _control_route({"prefix": health}, WATCH_SECONDS, *streams),
        _control_route({"prefix": reflection}, REFLECTION_SECONDS, *streams),
    ]


def _control_route(
    match: dict[str, str], seconds: int, priority: dict[str, str], of_filters: filters.Filters
) -> Route:
    [path] = match.values()
    return {
        "name": path.strip("/"),
        "match": match,
        "route": {
            "cluster": "server",
            **priority,
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": f"{seconds}s"},
        },
        "typed_per_filter_config": filters.NOT_AUTHORIZED | of_filters,
    }
