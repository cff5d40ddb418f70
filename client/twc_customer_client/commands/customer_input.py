"""The customer that a command is given: JSON in a file, and single fields as options."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.command_errors import CommandError, InputFileError, rejection
from twc_customer_client.files import unreadable
from twc_customer_client.formats.columns import kind_of, parse_value
from twc_customer_client.formats.customer_json import InvalidCustomer, parse_customer
from twc_customer_client.formats.encodings import check_is_text
from twc_customer_client.formats.field_paths import CUSTOMER, fields_by_name, resolve_field
from twc_customer_client.formats.json_reader import parse_json
from twc_customer_client.formats.records import MAX_RECORD_BYTES

_FIELDS = [field.json_name for field in CUSTOMER.fields]
_MANY = "many customers are for `twc-customers import`"
_CORRECT = "correct the customer, and run the same command again"


class CustomerInput(NamedTuple):
    """A customer as JSON, in which null stands for a field to clear."""

    value: dict[str, Any]

    def customer(self) -> Customer:
        """Returns the customer. Raises CommandError with every value that has a wrong type."""
        try:
            return parse_customer(self.value)
        except InvalidCustomer as error:
            wrong = [(reason.field, reason.reason) for reason in error.reasons]
            raise CommandError(rejection("this is no customer:", wrong), _CORRECT) from None

    def cleared_fields(self) -> list[str]:
        """Returns the names of the fields to clear."""
        known = fields_by_name(CUSTOMER)
        cleared = (name for name, value in self.value.items() if value is None)
        return [known[name].name for name in cleared if name in known]


def customer_input(command: Callable[..., Any]) -> Callable[..., Any]:
    """Has a command take FILE and `--set`, which make the customer that it is `given`."""

    @click.argument(
        "file",
        required=False,
        type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    )
    @click.option(
        "--set",
        "values",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_parse_values,
        shell_complete=_complete_set,
        help="Set a field by its JSON name, in place of that of FILE, as in firstName=Ada; "
        "lists and objects as JSON; an empty list clears it. Repeatable.",
    )
    @click.option(
        "--clear",
        "cleared",
        multiple=True,
        metavar="NAME",
        callback=_parse_names,
        shell_complete=_complete_name,
        help="Leave a field without a value, as null in FILE does. Repeatable.",
    )
    @wraps(command)
    def take(*args: Any, **options: Any) -> Any:
        file, values, cleared = (options.pop(name) for name in ("file", "values", "cleared"))
        if both := values.keys() & cleared.keys():
            raise click.UsageError(f"give one of --set and --clear for {', '.join(sorted(both))}")
        if not (file or values or cleared):
            raise click.UsageError(
                "give a FILE, - for standard input, or --set, as in --set firstName=Ada"
            )
        read = _by_json_name(_read(file)) if file else {}
        return command(*args, given=CustomerInput(read | values | cleared), **options)

    return take


def _read(file: Path) -> dict[str, Any]:
    """Reads one JSON object from a file, - is standard input. Raises CommandError."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_RECORD_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(MAX_RECORD_BYTES + 1)
    except OSError as error:
        hint = "a customer is selected by --id, --ref or --email; FILE is one with its JSON"
        raise unreadable(name, error, hint) from None
    if len(content) > MAX_RECORD_BYTES:
        raise InputFileError(name, f"is larger than {MAX_RECORD_BYTES >> 20} MiB; {_MANY}")
    check_is_text(content)
    try:
        value = parse_json(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputFileError(name, f"is not UTF-8 at byte {error.start + 1:,}") from None
    except (ValueError, RecursionError) as error:
        raise InputFileError(name, f"is not one JSON object: {error}; {_MANY}") from None
    if not isinstance(value, dict):
        raise InputFileError(name, f"is not one JSON object; {_MANY}")
    return value


def _by_json_name(value: dict[str, Any]) -> dict[str, Any]:
    """Returns a customer's JSON with each field by its JSON name, unless it is there twice."""
    known = fields_by_name(CUSTOMER)
    named = {known[name].json_name if name in known else name: it for name, it in value.items()}
    return named if len(named) == len(value) else value


def _parse_values(
    _context: click.Context, _option: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} must be like firstName=Ada")
        json_name = _json_name(name)
        try:
            value = parse_value(text, kind_of((json_name,)))
        except ValueError as error:
            raise click.BadParameter(f"{json_name} {error}") from None
        # An empty list in a message is none at all, which would leave the stored one.
        is_empty = fields_by_name(CUSTOMER)[json_name].is_repeated and value in ([], {})
        values[json_name] = None if is_empty else value
    return values


def _parse_names(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> dict[str, None]:
    return dict.fromkeys(map(_json_name, names))


def _json_name(name: str) -> str:
    """Returns the JSON name of a field, which is given in any case. Raises BadParameter."""
    try:
        return resolve_field(CUSTOMER, (name.strip(),)).json_name
    except ValueError:
        near = get_close_matches(name, _FIELDS, 1)
        hint = f": did you mean {near[0]}?" if near else f", but {', '.join(_FIELDS)}"
        raise click.BadParameter(f"a customer has no field {name!r}{hint}") from None


def _complete_name(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in _FIELDS if name.startswith(incomplete)]


def _complete_set(
    _context: click.Context, _option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(f"{name}=") for name in _FIELDS if name.startswith(incomplete)]
