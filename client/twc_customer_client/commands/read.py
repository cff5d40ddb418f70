"""`twc-customers get` and `lookup`: print single customers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.connection import Connection, Metadata
from twc_customer_client.errors import CommandError
from twc_customer_client.formats.customer_json import format_customer
from twc_customer_client.options import ConnectionOptions

_LISTED = ("id", "customer_ref", "email", "first_name", "last_name", "mobile", "phone")
_NEXT_PAGE_TOKEN = "x-next-page-token"  # noqa: S105 - the name of a header
_PAGE_SIZE = 1000


@click.command("get")
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the customer as JSON.")
@click.pass_obj
def get_command(options: ConnectionOptions, customer_id: str, *, as_json: bool) -> None:
    """Prints the customer with an id."""
    customer = _get(options.connection, customer_id)
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
    request = pb.LookupCustomersRequest(**given, page_size=_PAGE_SIZE)
    for customer in _lookup(options.connection, request):
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


def _get(connection: Connection, customer_id: str) -> Customer:
    request = pb.GetCustomerRequest(id=customer_id)
    rpc = connection.stub.GetCustomer
    customer = connection.call(
        lambda metadata: rpc(request, timeout=connection.timeout, metadata=metadata)
    )
    if not customer.id:
        raise CommandError(f"there is no customer with the id {customer_id!r}")
    return customer


def _lookup(connection: Connection, request: pb.LookupCustomersRequest) -> Iterator[Customer]:
    """Returns the customers of all pages."""

    def read_page(metadata: Metadata) -> tuple[list[Customer], str]:
        call = connection.stub.LookupCustomers(
            request, timeout=connection.timeout, metadata=metadata
        )
        customers = list(call)
        headers = {key: value for key, value in call.initial_metadata() if isinstance(value, str)}
        return customers, headers.get(_NEXT_PAGE_TOKEN, "")

    is_last = False
    while not is_last:
        page, request.page_token = connection.call(read_page)
        yield from page
        is_last = not request.page_token


def print_json(customer: Customer) -> None:
    """Prints a customer as a line of JSON."""
    click.echo(json.dumps(format_customer(customer), ensure_ascii=False))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
