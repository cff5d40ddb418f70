"""Where settings come from: environment variables, and a file.

Of several places that have a setting, the first of `sources` counts.
"""

import difflib
import json
import os
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

# Before a name, it tells the variables of this service from those of other programs.
PREFIX = "TWC_"

FILE_VARIABLE = "TWC_SETTINGS_FILE"
DEFAULT_FILE = Path("settings.toml")

# Settings of the gateway alone, which the server shares its environment and file with.
OF_GATEWAY = frozenset(
    {
        "cors_allowed_headers",
        "cors_exposed_headers",
        "cors_origins",
        "docs",
        "gateway_port",
        "path_prefix",
        "pin_workers",
        "rate_limit",
        "serve",
        "unknown_members",
        "upstream_ca",
        "upstream_certificate",
        "upstream_key",
        "upstream_name",
        "upstreams",
        "workers",
    }
)

# Settings of both gateway and server.
OF_BOTH = frozenset(
    {
        "bind",
        "drain_seconds",
        "grace_seconds",
        "log_level",
        "max_concurrent_rpcs",
        "metrics_port",
        "tls_certificate",
        "tls_client_ca",
        "tls_key",
    }
)

# Settings that a change of the file changes without a restart.
RENEWED = frozenset({"cors_allowed_headers", "cors_exposed_headers", "cors_origins", "log_level"})

# Variables of the command line `twc-customers` that no setting has the name of.
OF_CLIENT = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("SERVER", "TENANT", "TOKEN", "TOKEN_FILE", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"),
        *("SCOPE", "TLS", "PLAINTEXT", "CA", "CERT", "KEY", "TIMEOUT", "RETRY_FOR", "CONSISTENCY"),
    )
)

# How like a name must be to be a slip of the pen, from 0 to 1.
_NEAR = 0.85

# Passwords in a URL: parameters first, then that after a user's name. Either may have an @ in it;
# where the @ of the host is missing, what would be a port and is no number is one, too.
_PASSWORDS = (
    (re.compile(r"([?&][a-z_]*password=)[^&]*", re.IGNORECASE), r"\1***"),
    (re.compile(r"(?<=://)([^:/@]*):.*@", re.DOTALL), r"\1:***@"),
    (re.compile(r"(?<=://)([^:/@[]*):(?!\*\*\*@)\D[^/]*"), r"\1:***"),
)
_SECRETS = {"database_url", "database_read_urls"}
# The beginnings of a key or certificate, also in Base64, where the path of its file was meant.
_PEM = ("-----BEGIN", "LS0tLS1CRUdJTi")
_MAX_SHOWN = 200
_LIST = "`python -m twc_customer_gateway settings` lists them all"


class InvalidSettingsError(Exception):
    """Settings are wrong; the message has a line for each."""


class Given(NamedTuple):
    """A value of a setting, and the name of the variable, or the name in the file, that has it."""

    name: str
    value: Any


class Source(NamedTuple):
    """A place that has settings by their field names, and what each is called there."""

    read: PydanticBaseSettingsSource
    name: Callable[[str], str]


class _Environment(EnvSettingsSource):
    """Environment variables, in which a list may be separated by commas, too."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Returns a list or map; what is neither stays text, which validation refuses."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            is_list = "list" in str(field.annotation) and not value.lstrip().startswith("[")
            return [item.strip() for item in value.split(",")] if is_list else value


def sources(settings_class: type[BaseSettings]) -> list[Source]:
    """Returns the sources, the first of which counts. Raises InvalidSettingsError for the file."""
    file = settings_file()
    try:
        toml = TomlConfigSettingsSource(settings_class, file)
    except OSError as error:
        raise InvalidSettingsError(f"{FILE_VARIABLE}: {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettingsError(f"{file}: must be TOML: {error}") from error
    return [
        Source(_Environment(settings_class, env_prefix=PREFIX), lambda it: PREFIX + it.upper()),
        Source(_Environment(settings_class), str.upper),
        Source(toml, lambda it: f"{it} in {file}"),
    ]


def settings_file() -> Path:
    """Returns the path of the settings file, which need not be there if nothing names it.

    Raises InvalidSettingsError if one is named that is not there, or in a folder that is closed.
    """
    named = os.environ.get(FILE_VARIABLE)
    file = Path(named or DEFAULT_FILE)
    if named and named != os.devnull and not _is_there(file):
        raise InvalidSettingsError(f"{FILE_VARIABLE}: there is no file {file}")
    return file


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        raise InvalidSettingsError(f"{FILE_VARIABLE}: {file}: {error.strerror}") from error


def given(settings_class: type[BaseSettings]) -> dict[str, list[Given]]:
    """Returns what is given for each field, first that which counts; unknown ones of the file, too.

    Raises InvalidSettingsError if the file cannot be read.
    """
    found: dict[str, list[Given]] = defaultdict(list)
    for source in sources(settings_class):
        for field, value in source.read().items():
            found[field].append(Given(source.name(field), value))
    return dict(found)


def conflicts(found: dict[str, list[Given]]) -> Iterator[str]:
    """Yields a line for each setting that two places have with different values."""
    for field, (first, *others) in found.items():
        for other in others:
            if as_text(other.value) != as_text(first.value):
                yield (
                    f"{first.name} counts, which is {shown(field, first.value)}; "
                    f"{other.name} does not, which is {shown(field, other.value)}"
                )


def concerns(field: str) -> str:
    """Returns what a setting is of: `gateway`, `server` or `both`."""
    if field in OF_BOTH:
        return "both"
    return "gateway" if field in OF_GATEWAY else "server"


def not_used(found: Mapping[str, list[Given]], names: Mapping[str, Any], of: str) -> Iterator[str]:
    """Yields a line with what is given of settings that this process does not use.

    `names` are these, with their defaults, and `of` whose they are.
    """
    read = {name: found.get(name) or _in_environment(name) for name in sorted(names)}
    given = [
        places[0].name
        for name, places in read.items()
        if places and as_text(places[0].value) != as_text(names[name])
    ]
    if given:
        yield f"{', '.join(given)}: not used here: settings of {of}"


def _in_environment(name: str) -> list[Given]:
    variables = (PREFIX + name.upper(), name.upper())
    return [Given(it, value) for it in variables if (value := os.environ.get(it))]


def differences(one: BaseSettings, other: BaseSettings) -> set[str]:
    """Returns the names of the fields that have different values."""
    return {name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)}


def unknown_variables(fields: Iterable[str]) -> Iterator[str]:
    """Yields a line for each environment variable that seems to be meant as a setting.

    Such have the prefix, or nearly the name of a setting: others are of other programs.
    """
    names = {field.upper() for field in (*fields, *OF_GATEWAY)}
    known = {*names, *(PREFIX + name for name in names), *OF_CLIENT, FILE_VARIABLE}
    for variable, value in os.environ.items():
        name = variable.upper()
        near = _near(name, known if name.startswith(PREFIX) else names)
        if name in known:
            continue
        if near:
            # A token or secret of the command line is never shown.
            field = near.removeprefix(PREFIX).lower()
            given_value = f"={shown(field, value)}" if field.upper() in names else ""
            yield f"{variable}{given_value} is not a setting: did you mean {near}?"
        elif name.startswith(PREFIX):
            yield f"{variable} is not a setting: {_LIST}"


def unknown_in_file(found: dict[str, list[Given]], fields: Iterable[str]) -> Iterator[str]:
    """Yields a line for each name in the file that no setting has."""
    known = {*fields, *OF_GATEWAY}
    for name in found.keys() - known:
        near = _near(name.lower().replace("-", "_"), known)
        hint = f"did you mean {near}?" if near else _LIST
        yield f"{found[name][0].name}: there is no such setting: {hint}"


def shown(field: str, value: Any) -> str:
    """Returns a value in one line, without passwords."""
    text = as_text(without_passwords(field, value))
    text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return text if text.isprintable() and text else json.dumps(text)


def without_passwords(field: str, value: Any) -> Any:
    """Returns a value, of which each text has no passwords."""
    if isinstance(value, list):
        return [without_passwords(field, item) for item in value]
    if value is not None and field in _SECRETS and "://" not in as_text(value):
        return "***"
    if is_pem(as_text(value)):
        return "***"
    return masked(value) if isinstance(value, str) else value


def is_pem(text: str) -> bool:
    """Tells whether a text has a key or a certificate."""
    return any(beginning in text for beginning in _PEM)


def masked(text: str) -> str:
    """Returns a text with the passwords of its URLs replaced by asterisks."""
    for password, replacement in _PASSWORDS:
        text = password.sub(replacement, text)
    return text


def as_text(value: Any) -> str:
    """Returns a value as an environment variable has it."""
    if isinstance(value, str | Path):
        return str(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if is_whole else value, ensure_ascii=False, default=str)


def _near(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, 1, _NEAR)), None)
