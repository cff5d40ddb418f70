"""Prints the settings in effect, and where each comes from, without passwords."""

import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from twc_customer_server.settings import report, sources
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import InvalidSettingsError, shown, without_passwords

_DEFAULT = "default"

# Of the column of values; those that are longer, such as lists, move what follows.
_WIDTH = 32


class Effective(NamedTuple):
    """The value of a setting, and the name that it is given by."""

    value: Any
    source: str
    # `gateway`, `server` or `both`.
    of: str


def print_settings(settings_class: type[Settings], *, as_json: bool) -> None:
    """Prints each setting, and to standard error what is wrong or odd about them.

    Exits with status 1 if one is wrong: it is printed as it is given.
    """
    try:
        given = sources.given(settings_class)
    except InvalidSettingsError as error:
        sys.exit(str(error))
    fields = settings_class.model_fields
    values = {name: field.default for name, field in fields.items()}
    values |= {name: places[0].value for name, places in given.items() if name in fields}
    try:
        loaded = report.load(settings_class)
    except InvalidSettingsError as error:
        wrong: str | None = str(error)
    else:
        wrong = None
        values = dict(loaded.settings)
        for warning in loaded.warnings:
            print(warning, file=sys.stderr)  # noqa: T201
    settings = {
        name.upper(): Effective(
            value,
            given[name][0].name if name in given else _DEFAULT,
            sources.concerns(name),
        )
        for name, value in values.items()
    }
    print(_as_json(settings) if as_json else _as_table(settings))  # noqa: T201
    if wrong:
        sys.exit(wrong)


def _as_json(settings: Mapping[str, Effective]) -> str:
    objects = {
        name: {
            "value": without_passwords(name.lower(), each.value),
            "source": each.source,
            "of": each.of,
        }
        for name, each in settings.items()
    }
    return json.dumps(objects, indent=2, ensure_ascii=False, default=str)


def _as_table(settings: Mapping[str, Effective]) -> str:
    """Returns a line for each setting: name, what it is of, value and source, in columns."""
    width = max(len(name) for name in settings)
    rows = [
        (name, each.of, "" if each.value is None else shown(name.lower(), each.value), each.source)
        for name, each in settings.items()
    ]
    return "\n".join(
        f"{name:{width}}  {of:7}  {value:{_WIDTH}}  {source}" for name, of, value, source in rows
    )
