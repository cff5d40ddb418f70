"""Matches REST requests by method, path, query and headers, as the contract's annotations say."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

from twc_customer_gateway import filters

Matcher = dict[str, Any]

WHOLE = "*"


class HttpRoute(NamedTuple):
    """The REST method and path of an RPC, and the request's field that is the body, if any.

    A body of WHOLE is the request, but for the fields in the path. The server is told which
    route a request has if `is_traced`.
    """

    rpc: MethodDescriptor
    method: str
    path: str
    body: str
    is_traced: bool = False

    @property
    def in_path(self) -> list[str]:
        """The names of the request's fields that are in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def query(self) -> list[FieldDescriptor]:
        """The fields of the request that are query parameters: not in the path or the body."""
        if self.body == WHOLE:
            return []
        elsewhere = {self.body, *self.in_path}
        return [field for field in self.rpc.input_type.fields if field.name not in elsewhere]


def http_routes(service: ServiceDescriptor) -> list[HttpRoute]:
    """Returns the REST routes of every RPC that has an HTTP annotation."""
    routes = []
    for rpc in service.methods:
        options = rpc.GetOptions()
        if options.HasExtension(annotations_pb2.http):
            for rule in bindings(options.Extensions[annotations_pb2.http]):
                verb = rule.WhichOneof("pattern")
                routes.append(HttpRoute(rpc, verb.upper(), getattr(rule, verb), rule.body))
    return routes


def bindings(rule: HttpRule) -> list[HttpRule]:
    """Returns a rule and its additional bindings."""
    return [rule, *rule.additional_bindings]


def _header(name: str, regex: str) -> Matcher:
    """Returns a matcher of a header; a missing header matches as an empty one."""
    return {
        "name": name,
        "string_match": {"safe_regex": {"regex": regex}},
        "treat_missing_header_as_empty": True,
    }


HAS_TOKEN = {
    "name": "authorization",
    "string_match": {"prefix": "bearer ", "ignore_case": True},
    "treat_missing_header_as_empty": True,
}
NO_TOKEN = HAS_TOKEN | {"invert_match": True}
JSON = _header("content-type", r"(?i)application/json\s*(;.*)?")
NOT_JSON = JSON | {"invert_match": True}
# RPCs come by gRPC, whose calls also say that they take trailers, or by gRPC-Web.
GRPC = _header("content-type", r"application/grpc(\+[^;]*)?(;.*)?")
NO_GRPC = _header("content-type", "application/grpc.*") | {"invert_match": True}
NO_TRAILERS = _header("te", "(?i)trailers") | {"invert_match": True}
READABLE = _header("content-encoding", "(?i)(identity|gzip)?")
UNREADABLE = READABLE | {"invert_match": True}
# The length of a compressed body does not tell how much it is.
NOT_COMPRESSED = _header("content-encoding", "(?i)(identity)?")
SMALL_BODY = {
    "name": "content-length",
    "range_match": {"start": 0, "end": filters.SMALL_BODY_BYTES + 1},
}

# Values that query parameters of a type may have, and what to call them.
_VALUES = {FieldDescriptor.TYPE_INT32: "[+-]?[0-9]{1,9}", FieldDescriptor.TYPE_BOOL: "(true|false)"}
_KINDS = {
    FieldDescriptor.TYPE_INT32: " (a whole number)",
    FieldDescriptor.TYPE_BOOL: " (true or false)",
}


def match(regex: str, method: str = "", headers: Iterable[Matcher] = ()) -> Matcher:
    """Returns a matcher of requests with a path, and a method if that is given, and headers."""
    # The method comes first: Envoy matches headers before the path, so most routes fail there.
    methods = [{"name": ":method", "string_match": {"exact": method}}] if method else []
    return {"safe_regex": {"regex": regex}, "headers": [*methods, *headers]}


def path_regex(path: str, prefix: str, variable: str = "[^/]+") -> str:
    """Returns the expression of a path of the contract, which may begin with a prefix."""
    start = f"({re.escape(prefix)})?" if prefix else ""
    return start + re.sub(r"\{[^}]+\}", lambda _: variable, path) + "/?"


def query(route: HttpRoute, more: Sequence[FieldDescriptor] = ()) -> list[Matcher]:
    """Returns matchers of requests that have only the path's query parameters, each once.

    The transcoder would let others set fields inside the body, and has no good
    words for those that it cannot read.
    """
    allowed = [*route.query, *more]
    if not allowed:
        return [_header(":path", r"[^?]*\??")]
    values = "|".join(f"{_names(field)}={_VALUES.get(field.type, '[^&]*')}" for field in allowed)
    twice = "|".join(f"{_names(field)}=.*&{_names(field)}=.*" for field in allowed)
    repeated = _header(":path", rf"[^?]*\?(.*&)?({twice})")
    return [
        _header(":path", rf"[^?]*(\?(&|({values}))*)?"),
        repeated | {"invert_match": True},
    ]


def _names(field: FieldDescriptor) -> str:
    """Returns an expression for the names of a query parameter."""
    return "(" + "|".join(sorted({field.name, field.json_name})) + ")"


def allowed_query(route: HttpRoute) -> str:
    """Returns the error message for a query that a route does not take."""
    if not route.query:
        return "this path has no query"
    names = ", ".join(field.json_name + _KINDS.get(field.type, "") for field in route.query)
    return f"the query of this path has name=value, each name once, of {names}"
