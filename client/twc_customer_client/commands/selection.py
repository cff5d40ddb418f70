"""The options that select the customer of a command, and the conditions of a change."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import click
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.command_errors import CommandError
from twc_customer_client.errors import NotFound
from twc_customer_client.options import ConnectionOptions
from twc_customer_client.results import Versioned

_Command = Callable[..., Any]

_NAMES = {"id": "id", "customerRef": "reference", "email": "e-mail address"}
_FIND = "find it by `twc-customers lookup`, such as lookup --email ada@example.com"


class Selection(NamedTuple):
    """The field by which a customer is selected, as keys of updates name it, and its value."""

    field: str
    value: str

    @property
    def key(self) -> str:
        """The key of an update."""
        return f"{self.field}={self.value}"

    def key_beside(self, changed: Mapping[str, Any], options: ConnectionOptions) -> str:
        """Returns the key of an update, of the id if the field that selects is to be changed.

        Raises as `find` does.
        """
        if changed.get(self.field, self.value) == self.value:
            return self.key
        return f"id={self.find_id(options)}"

    def find(self, options: ConnectionOptions) -> Customer:
        """Returns the customer. Raises CommandError if there is none, and CustomerError."""
        client, seconds = options.client, options.read_seconds
        try:
            if self.field == "customerRef":
                return client.get_by_ref(self.value, timeout=seconds)
            if self.field == "email":
                return client.get_by_email(self.value, timeout=seconds)
            return client.get(self.value, timeout=seconds)
        except NotFound:
            raise self._missing() from None

    def find_id(self, options: ConnectionOptions) -> str:
        """Returns the customer's id, which may be of none. Raises as `find` does."""
        return self.value if self.field == "id" else self.find(options).id

    def find_versioned(self, options: ConnectionOptions) -> Versioned:
        """Returns the customer and its entity tag. Raises as `find` does."""
        by_id = Selection("id", self.find_id(options))
        try:
            return options.client.get_versioned(by_id.value, timeout=options.read_seconds)
        except NotFound:
            raise by_id._missing() from None

    def _missing(self) -> CommandError:
        problem = f"there is no customer with the {_NAMES[self.field]} {self.value!r}"
        return CommandError(problem, _FIND)


_ID = click.argument("customer_id", metavar="[ID]", required=False)
_OPTIONS = (
    click.option("--id", "id_option", metavar="ID", help="The customer's id."),
    click.option("--ref", metavar="REFERENCE", help="The customer's reference."),
    click.option("--email", metavar="ADDRESS", help="The customer's e-mail address."),
)


def selecting(command: _Command) -> _Command:
    """Has a command take an id, or an option, that selects its customer: `selection`."""
    return _ID(_select(command, is_required=True))


def selecting_by_option(command: _Command) -> _Command:
    """Has a command take an option that selects its customer: `selection`, None without one."""
    return _select(command, is_required=False)


def _select(command: _Command, *, is_required: bool) -> _Command:
    @wraps(command)
    def select(*args: Any, **values: Any) -> Any:
        given = [
            Selection(field, value)
            for field, name in (
                ("id", "customer_id"),
                ("id", "id_option"),
                ("customerRef", "ref"),
                ("email", "email"),
            )
            if (value := values.pop(name, None)) is not None
        ]
        if len(given) > 1:
            raise click.UsageError("give one of id, --ref and --email")
        if is_required and not given:
            raise click.UsageError(
                "the customer is missing: give its id, or --ref or --email, as in "
                "--email ada@example.com"
            )
        return command(*args, selection=given[0] if given else None, **values)

    for option in reversed(_OPTIONS):
        select = option(select)
    return select


def _check_header(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not (value and value.isascii() and value.isprintable()):
        raise click.BadParameter("must have visible ASCII characters only")
    return value


if_match_option = click.option(
    "--if-match",
    metavar="ETAG",
    callback=_check_header,
    help="Change the customer only if it still has this entity tag, which `get --etag` prints.",
)

idempotency_key_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=_check_header,
    help="A key of your own, with which the same command can be repeated without a further "
    "effect.  [default: one for the repeats of this command]",
)
