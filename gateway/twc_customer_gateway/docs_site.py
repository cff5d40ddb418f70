"""Serves the OpenAPI description and the page to try the API on, without a token.

The files are written once, each as it is and compressed. Whoever has a file already asks by its
entity tag. Clients that ask and do not read must not fill the memory of the Envoy that all others
use: that which reads large bodies sends the files, to few clients at a time, and few a second.
"""

import gzip
import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from twc_customer_gateway import filters
from twc_customer_gateway.filters import header_option
from twc_customer_gateway.matchers import Matcher
from twc_customer_gateway.places import Places
from twc_customer_gateway.routes import direct_response
from twc_customer_gateway.rpc_routes import Route
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.auth.development import token_for

# The tenant whose token the page has in development mode: that of the description's examples.
TENANT = "acme"

CLUSTER = "site"

# Requests for each file, of all clients together: a page is read more often than it is loaded.
_REQUESTS_PER_SECOND = 2
_REQUESTS_AT_ONCE = 40

# Files are larger by a fiftieth than the smallest there are, in half of the time of a start.
_GZIP_LEVEL = 5

# The page loads nothing from elsewhere, and is in no frame of another page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_PAGE = "/docs"
_DEVELOPMENT = f"{_PAGE}/development.json"
_CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "yaml": "application/yaml",
}
_INDEX = "index.html"
_FOLDER = "site"

# Of the contract's package, of that which brings Swagger UI, and of this one.
_DESCRIPTIONS = ("openapi.json", "openapi.yaml")
_VIEWER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_PAGE_FILES = ("page.css", "page.js", "plugins.js")

_READ = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
_ACCEPTS_GZIP = {
    "name": "accept-encoding",
    "string_match": {
        "safe_regex": {
            "regex": r"(?i)(.*,)?\s*gzip\s*(;\s*q\s*=\s*(1|0\.\d*[1-9])[\d.]*\s*)?(,.*)?"
        }
    },
}
# No other site, and no name that it has given this machine's address, gets a token.
_LOOPBACK = {
    "name": ":authority",
    "string_match": {"safe_regex": {"regex": r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"}},
}
_SAME_ORIGIN = {
    "name": "sec-fetch-site",
    "string_match": {"safe_regex": {"regex": "(same-origin|none)?"}},
    "treat_missing_header_as_empty": True,
}


class Site(NamedTuple):
    """The routes of the page: of the Envoy that clients connect to, and of that which answers."""

    public: Sequence[Route]
    answers: Sequence[Route]
    # The size of the largest file in bytes.
    largest: int


def write(settings: GatewaySettings, places: Places) -> Site:
    """Writes the files into a folder of their own; returns their routes: none if DOCS is off.

    Raises OSError if the key of development's tokens can be neither read nor created.
    """
    if not settings.docs:
        return Site([], [], 0)
    (places.folder / _FOLDER).mkdir(exist_ok=True)
    files = _files(settings)
    answers = [_redirect("/"), _redirect(f"{_PAGE}/")]
    public = [_pass_on("/"), _pass_on(f"{_PAGE}/")]
    for path, content in files.items():
        answers += _answers(places, path, content)
        public.append(_pass_on(path, [_LOOPBACK, _SAME_ORIGIN] if path == _DEVELOPMENT else []))
    return Site(public, answers, max(map(len, files.values())))


def _files(settings: GatewaySettings) -> dict[str, bytes]:
    """Returns the contents by path."""
    contract = resources.files("twc.customer.v2")
    own = resources.files("twc_customer_gateway").joinpath("docs_page")
    # Found, not imported: of the package only its files are of use.
    package = importlib.util.find_spec("flask_swagger_ui")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the package flask-swagger-ui is not installed")
    viewer = Path(package.origin).with_name("dist")
    files = {f"/{name}": contract.joinpath(name).read_bytes() for name in _DESCRIPTIONS}
    files |= {f"{_PAGE}/{name}": (viewer / name).read_bytes() for name in _VIEWER_FILES}
    files |= {f"{_PAGE}/{name}": own.joinpath(name).read_bytes() for name in _PAGE_FILES}
    attribute = ""
    if settings.development:
        attribute = f' data-development="{_DEVELOPMENT.removeprefix("/")}"'
        given = {"tenant": TENANT, "token": token_for(settings, TENANT)}
        files[_DEVELOPMENT] = json.dumps(given).encode()
    page = Template(own.joinpath(_INDEX).read_text()).substitute(development=attribute)
    return files | {_PAGE: page.encode()}


def _pass_on(path: str, headers: Sequence[Matcher] = ()) -> Route:
    """Returns the route to the Envoy that answers."""
    return {
        "name": "docs",
        "match": {"path": path, "headers": [*headers]},
        "route": {"cluster": CLUSTER},
        "typed_per_filter_config": filters.ANSWERED_AT_ONCE
        | filters.rate_limit(CLUSTER, _REQUESTS_PER_SECOND, _REQUESTS_AT_ONCE),
    }


def _answers(places: Places, path: str, content: bytes) -> Iterator[Route]:
    """Writes a file and yields its routes: for those who have it, and others."""
    name = path.strip("/").replace("/", "-")
    suffix = path.rpartition(".")[2] if "." in path else "html"
    of_file = _SECURITY_HEADERS | {"content-type": _CONTENT_TYPES[suffix]}
    plain, compressed = f"{_FOLDER}/{name}", f"{_FOLDER}/{name}.gz"
    (places.folder / plain).write_bytes(content)
    if path == _DEVELOPMENT:
        (places.folder / plain).chmod(0o600)
        yield _answer(200, path, [_READ], of_file, places.file(plain))
    else:
        (places.folder / compressed).write_bytes(gzip.compress(content, _GZIP_LEVEL, mtime=0))
        tag = hashlib.sha256(content).hexdigest()[:32]
        # The tag is weak, as it is one for both forms. What is kept is asked for again.
        of_both = {"etag": f'W/"{tag}"', "cache-control": "public, no-cache"}
        of_both["vary"] = "Accept-Encoding"
        has_it = {"name": "if-none-match", "string_match": {"contains": tag}}
        yield _answer(304, path, [_READ, has_it], of_both)
        in_gzip = of_file | of_both | {"content-encoding": "gzip"}
        yield _answer(200, path, [_READ, _ACCEPTS_GZIP], in_gzip, places.file(compressed))
        yield _answer(200, path, [_READ], of_file | of_both, places.file(plain))
    yield _answer(405, path, [], {"allow": "GET, HEAD"})


def _redirect(path: str) -> Route:
    """Returns the route that leads to the page."""
    return _answer(302, path, [], {"location": _PAGE})


def _answer(
    status: int,
    path: str,
    matchers: list[Matcher],
    headers: dict[str, str],
    file: str = "",
) -> Route:
    """Returns a route that answers by itself, with a file if one is given."""
    route: Route = direct_response(status, {"path": path, "headers": matchers})
    if file:
        route["direct_response"]["body"] = {"filename": file}
    return route | {
        "response_headers_to_add": [header_option(*header) for header in headers.items()],
        # Envoy would add one of its own to each status that could be a redirect.
        "response_headers_to_remove": [] if "location" in headers else ["location"],
    }
