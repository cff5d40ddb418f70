"""`twc-customers get` and `lookup`: print single customers."""

import json
import re
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.command_errors import CommandError
from twc_customer_client.errors import NotFound
from twc_customer_client.formats.customer_json import format_customer
from twc_customer_client.options import ConnectionOptions

_LISTED = ("id", "customer_ref", "email", "first_name", "last_name", "mobile", "phone")
_PAGE_SIZE = 1000


@click.command("get")
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the customer as JSON.")
@click.pass_obj
def get_command(options: ConnectionOptions, customer_id: str, *, as_json: bool) -> None:
    """Prints the customer with an id."""
    try:
        customer = options.client.get(customer_id)
    except NotFound:
        raise CommandError(f"there is no customer with the id {customer_id!r}") from None
    if as_json:
        print_json(customer)
    else:
        print_customer(customer)


@click.command("lookup")
@click.option("--email", help="The e-mail address.")
@click.option("--first-name", help="The given name.")
@click.option("--last-name", help="The family name.")
@click.option("--mobile", help="The mobile phone number.")
@click.option("--phone", help="The phone number.")
@click.option("--json", "as_json", is_flag=True, help="Print each customer as a line of JSON.")
@click.pass_obj
def lookup_command(options: ConnectionOptions, /, *, as_json: bool, **fields: str | None) -> None:
    """Prints the customers that match every given option, one per line."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value}
    if not given:
        raise click.UsageError("give at least one option, such as --email ada@example.com")
    for customer in options.client.lookup(**given, page_size=_PAGE_SIZE):
        if as_json:
            print_json(customer)
        else:
            click.echo("\t".join(_one_line(getattr(customer, name)) for name in _LISTED))


def print_customer(customer: Customer) -> None:
    """Prints a customer field by field."""
    table = Table.grid(padding=(0, 2))
    for name, value in format_customer(customer).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
        table.add_row(Text(name, style="bold"), Text(text))
    Console().print(table)


def print_json(customer: Customer) -> None:
    """Prints a customer as a line of JSON."""
    click.echo(json.dumps(format_customer(customer), ensure_ascii=False))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
