"""Settings of Envoy's filters that differ by route (`typed_per_filter_config`)."""

from typing import Any

from twc_customer_server import contract

_TYPE = "type.googleapis.com/envoy."
_BUFFER = _TYPE + "extensions.filters.http.buffer.v3.BufferPerRoute"
_LUA = _TYPE + "extensions.filters.http.lua.v3.LuaPerRoute"
_HEADERS = _TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
_RATE_LIMIT = _TYPE + "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_PROCESSOR = _TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
_FILTER = _TYPE + "config.route.v3.FilterConfig"

# Bodies up to this size, which the header Content-Length must tell, are read before the
# token is verified.
SMALL_BODY_BYTES = 8 * 1024

# In seconds since the Unix epoch.
_BEGAN = "%START_TIME(%s.%6f)%"

Filters = dict[str, Any]


def header_option(
    name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD"
) -> dict[str, Any]:
    """Returns a header to set (Envoy's `HeaderValueOption`)."""
    return {"header": {"key": name, "value": value}, "append_action": action}


_OFF = {"@type": _FILTER, "disabled": True}
# The transcoder rejects requests that are no RPC, even those with a direct response.
NOT_TRANSCODED: Filters = {"envoy.filters.http.grpc_json_transcoder": _OFF}
# gRPC-Web is for the paths of RPCs: on REST paths its filter would move JSON into headers.
REST: Filters = {"envoy.filters.http.grpc_web": _OFF}
# The server verifies the token when it gets the call.
NOT_AUTHORIZED: Filters = {"envoy.filters.http.ext_authz": _OFF}
# Turns on a Lua filter that is disabled by default.
LUA_ON: Filters = {"@type": _FILTER, "config": {"@type": _LUA}}
# The server limits the size of streams; buffering would only delay them.
UNBUFFERED: Filters = {"envoy.filters.http.buffer": {"@type": _BUFFER, "disabled": True}}

NOT_LIMITED: Filters = {"envoy.filters.http.local_ratelimit": _OFF}

# The server counts the request among the large bodies of its tenant while it lasts.
COUNTED: Filters = {
    "envoy.filters.http.ext_proc": {
        "@type": _FILTER,
        "config": {"@type": _PROCESSOR, "overrides": {}},
    }
}

# Another Envoy reads the body.
PASSED_ON = NOT_TRANSCODED | REST | UNBUFFERED
# A direct response does not wait for the request's body.
ANSWERED_AT_ONCE = PASSED_ON | NOT_AUTHORIZED


def buffer_up_to(most: int) -> Filters:
    """Returns a limit of a body's size, up to which it is buffered."""
    return {"@type": _BUFFER, "buffer": {"max_request_bytes": most}}


READ_AT_ONCE = NOT_AUTHORIZED | {"envoy.filters.http.buffer": buffer_up_to(SMALL_BODY_BYTES)}


def own_headers(*, has_body: bool, named: str = "") -> Filters:
    """Removes headers that the server would take for gRPC's own.

    If the route of the request is `named`, tells the server that, and when the request came.
    """
    mutations: list[dict[str, Any]] = [
        {"remove_on_match": {"key_matcher": {"prefix": "grpc-", "ignore_case": True}}},
        {"remove_on_match": {"key_matcher": {"suffix": "-bin", "ignore_case": True}}},
    ]
    if not has_body:
        mutations.append({"remove": "content-type"})
    if named:
        mutations.append({"append": header_option(contract.ROUTE_HEADER, named)})
        mutations.append({"append": header_option(contract.BEGAN_HEADER, _BEGAN)})
    mutation = {"@type": _HEADERS, "mutations": {"request_mutations": mutations}}
    return {"envoy.filters.http.header_mutation": mutation}


def rate_limit(name: str, per_second: int, at_once: int) -> Filters:
    """Limits the requests of a route, in place of those of all routes together.

    Turns on the filter, which is off where no setting limits those.
    """
    bucket = {"max_tokens": at_once, "tokens_per_fill": per_second, "fill_interval": "1s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = {"@type": _RATE_LIMIT, "stat_prefix": name, "token_bucket": bucket}
    limit |= {"filter_enabled": always, "filter_enforced": always}
    return {"envoy.filters.http.local_ratelimit": {"@type": _FILTER, "config": limit}}


def private_responses() -> list[dict[str, Any]]:
    """Returns the header that keeps browsers and proxies from storing customers' data.

    What the server tells the gateway alone is removed.
    """
    header = header_option("cache-control", "private, no-store", "ADD_IF_ABSENT")
    return [{"append": header}, {"remove": contract.NOT_BEGUN_HEADER}]
