"""`twc-customers get` and `lookup`: single customers."""

import json
import re
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client import reading
from twc_customer_client.caller import Caller
from twc_customer_client.tables import to_json

_LISTED = ("id", "customer_ref", "email", "first_name", "last_name", "mobile", "phone")


@click.command("get")
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the customer as JSON.")
@click.pass_obj
def get_command(caller: Caller, customer_id: str, *, as_json: bool) -> None:
    """Prints the customer with an id."""
    customer = reading.get(caller.connection, customer_id)
    if as_json:
        _print_json(customer)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in to_json(customer).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
        table.add_row(Text(name, style="bold"), Text(text))
    Console().print(table)


@click.command("lookup")
@click.option("--email", help="The e-mail address.")
@click.option("--first-name", help="The given name.")
@click.option("--last-name", help="The family name.")
@click.option("--mobile", help="The mobile phone number.")
@click.option("--phone", help="The phone number.")
@click.option("--json", "as_json", is_flag=True, help="Print each customer as a line of JSON.")
@click.pass_obj
def lookup_command(caller: Caller, /, *, as_json: bool, **given: str | None) -> None:
    """Prints all customers that match all that is given, a line each."""
    if not any(given.values()):
        raise click.UsageError("say what to look for, for instance --email ada@example.com")
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value}
    request = pb.LookupCustomersRequest(**wanted, page_size=1000)
    for customer in reading.lookup(caller.connection, request):
        if as_json:
            _print_json(customer)
        else:
            click.echo("\t".join(_one_line(getattr(customer, name)) for name in _LISTED))


def _print_json(customer: Customer) -> None:
    click.echo(json.dumps(to_json(customer), ensure_ascii=False))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
