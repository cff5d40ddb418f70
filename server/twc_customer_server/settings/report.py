"""Reads the settings, and says what is wrong with them in the words of this service."""

import re
from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar, get_args

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from twc_customer_server.settings import sources
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import Given, InvalidSettingsError, shown

S = TypeVar("S", bound=Settings)

_OWN_MESSAGE = "Value error, "
_SETTING_NAME = re.compile(r"\b[A-Z][A-Z_]+\b")

_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


class Loaded(NamedTuple, Generic[S]):
    """Settings, where they are from, and what is odd about that."""

    settings: S
    given: Mapping[str, list[Given]]
    warnings: list[str]

    def database(self) -> str:
        """Returns a line with the database in use, and the name that it is set by."""
        url = self.settings.database_url
        field, kind = ("database_url", "PostgreSQL") if url else ("data_dir", "SQLite")
        place = shown(field, url or self.settings.database_file)
        default = f"the default of {field.upper()}"
        source = self.given[field][0].name if field in self.given else default
        return f"the database is {kind}, {place}, by {source}"


def load(settings_class: type[S]) -> Loaded[S]:
    """Reads the settings. Raises InvalidSettingsError, with a line for each that is wrong."""
    given = sources.given(settings_class)
    fields = settings_class.model_fields
    warnings = [*sources.unknown_variables(fields), *sources.conflicts(given)]
    if unknown := [*sources.unknown_in_file(given, fields)]:
        raise InvalidSettingsError("\n".join(unknown))
    try:
        settings = settings_class()
        warnings += sources.not_used(given, *settings.not_used())
        return Loaded(settings, given, warnings)
    except ValidationError as error:
        lines = [*describe_errors(error, settings_class, given), *warnings]
        raise InvalidSettingsError("\n".join(lines)) from error


def describe_errors(
    error: ValidationError, settings_class: type[Settings], given: Mapping[str, list[Given]]
) -> Iterator[str]:
    """Yields a line for each wrong setting: its name, what would be right, and its value."""
    for details in error.errors(include_url=False):
        if not details["loc"]:
            yield _describe_combination(details["msg"].removeprefix(_OWN_MESSAGE), given)
            continue
        field, *places = (str(place) for place in details["loc"])
        name = given[field][0].name if field in given else field.upper()
        right = _right(details, settings_class.model_fields[field])
        yield ": ".join([name, *places, f"{right}, not {shown(field, details['input'])}"])


def _describe_combination(message: str, given: Mapping[str, list[Given]]) -> str:
    """Returns what is wrong with several settings, and what is given for each that it names."""
    fields = dict.fromkeys(name.lower() for name in _SETTING_NAME.findall(message))
    places = [(field, given[field][0]) for field in fields if field in given]
    values = ", ".join(f"{place.name}={shown(field, place.value)}" for field, place in places)
    return f"{message} (given: {values})" if values else message


def _right(details: ErrorDetails, field: FieldInfo) -> str:
    """Returns what would be right."""
    message = details["msg"]
    if message.startswith(_OWN_MESSAGE):
        return message.removeprefix(_OWN_MESSAGE)
    if details["type"] == "too_short":
        return "must have at least one item"
    kinds = get_args(field.annotation) or (field.annotation,)
    kind = next((words for kind, words in _KINDS.items() if kind in kinds), None)
    if kind:
        return f"must be {kind}{_limits(field)}"
    if details["type"] == "list_type":
        return 'must be a list: a, b or ["a", "b"]'
    if details["type"] == "dict_type":
        return 'must be a map: {"a": "b"}'
    return message.replace("Input should be", "must be")


def _limits(field: FieldInfo) -> str:
    """Returns the range of a number in words, with a space before, if it has one."""
    bounds = {type(rule): rule for rule in field.metadata}
    words = []
    if Gt in bounds:
        words.append(f"over {bounds[Gt].gt}")
    if Ge in bounds:
        words.append(f"from {bounds[Ge].ge}")
    if Le in bounds:
        words.append(f"to {bounds[Le].le}")
    return "".join(f" {word}" for word in words)
