"""CORS: which pages may call the API, and the response headers that tell their browsers so.

Envoy's own CORS filter adds nothing to responses that Envoy makes itself, which
a page would see as network errors. So the headers are set on every response, by
a filter that applies to requests of an allowed origin.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from twc_customer_gateway.filters import header_option

_TYPE = "type.googleapis.com/envoy."
_HEADERS = _TYPE + "extensions.filters.http.header_mutation.v3.HeaderMutation"
_MATCHING = _TYPE + "extensions.common.matching.v3.ExtensionWithMatcher"
_COMPOSITE = _TYPE + "extensions.filters.http.composite.v3.Composite"
_EXECUTE = _TYPE + "extensions.filters.http.composite.v3.ExecuteFilterAction"
_REQUEST_HEADER = _TYPE + "type.matcher.v3.HttpRequestHeaderMatchInput"

_METHODS = "GET, POST, PUT, DELETE"
_PREFLIGHT_SECONDS = 600

# Far from the size of a program at which Envoy refuses an expression, see `process.yaml`.
_MOST_REGEX_LENGTH = 500

Header = dict[str, Any]


class Cors(NamedTuple):
    """The origins whose pages may call, and the headers that they may send and read."""

    origins: Sequence[str]
    allowed_headers: Sequence[str]
    exposed_headers: Sequence[str]

    def filter(self) -> dict[str, Any]:
        """Returns the filter that sets the headers of responses to allowed origins."""
        if not self.origins:
            return {"@type": _HEADERS}
        headers = [
            ("access-control-allow-origin", "%REQ(ORIGIN)%"),
            ("access-control-expose-headers", ", ".join(self.exposed_headers)),
        ]
        mutations = [{"append": header_option(name, value)} for name, value in headers]
        setting = {"@type": _HEADERS, "mutations": {"response_mutations": mutations}}
        action = {"@type": _EXECUTE, "typed_config": {"name": "headers", "typed_config": setting}}
        on_match = {"action": {"name": "set", "typed_config": action}}
        return {
            "@type": _MATCHING,
            "extension_config": {"name": "headers", "typed_config": {"@type": _COMPOSITE}},
            "xds_matcher": {
                "matcher_tree": {
                    "input": {
                        "name": "origin",
                        "typed_config": {"@type": _REQUEST_HEADER, "header_name": "origin"},
                    },
                    "exact_match_map": {"map": dict.fromkeys(self.origins, on_match)},
                }
            },
        }

    @staticmethod
    def filter_types() -> list[str]:
        """Returns the types that the filter may have."""
        return [_HEADERS, _MATCHING, _COMPOSITE]

    def vary(self) -> list[Header]:
        """Returns the header that has caches tell apart the responses to different origins."""
        return [{"append": header_option("vary", "Origin", "APPEND_IF_EXISTS_OR_ADD")}]

    def preflights(self) -> Iterator[tuple[int, dict[str, Any], list[Header]]]:
        """Yields status, match and headers of the responses to preflight requests."""
        asked = {"name": "access-control-request-method", "present_match": True}
        headers = [
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", ", ".join(self.allowed_headers)),
            ("access-control-max-age", str(_PREFLIGHT_SECONDS)),
        ]
        options = {"name": ":method", "string_match": {"exact": "OPTIONS"}}
        any_path = {"prefix": "/"}
        for regex in _alternatives(self.origins):
            allowed = {"name": "origin", "string_match": {"safe_regex": {"regex": regex}}}
            match = any_path | {"headers": [options, asked, allowed]}
            yield 200, match, [header_option(name, value) for name, value in headers]
        of_page = {"name": "origin", "present_match": True}
        yield 403, any_path | {"headers": [options, asked, of_page]}, []


def _alternatives(texts: Sequence[str]) -> Iterator[str]:
    """Yields regular expressions that match the texts, each of a size that Envoy accepts."""
    regex = ""
    for text in map(re.escape, texts):
        if regex and len(regex) + len(text) > _MOST_REGEX_LENGTH:
            yield regex
            regex = ""
        regex += f"|{text}" if regex else text
    if regex:
        yield regex
