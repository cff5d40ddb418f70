"""Prints customers, for people and for programs."""

import json
import re
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.formats.customer_json import format_customer

_LISTED = ("id", "customer_ref", "email", "first_name", "last_name", "mobile", "phone")


def json_option(meaning: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the option that has a command print JSON."""
    return click.option("--json", "as_json", is_flag=True, help=meaning)


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


def print_line(customer: Customer) -> None:
    """Prints what tells customers apart as a line, between tabs."""
    click.echo("\t".join(_one_line(getattr(customer, name)) for name in _LISTED))


def print_stored(customer: Customer, outcome: str, *, as_json: bool) -> None:
    """Prints a customer that was stored, as JSON or with what became of it."""
    if as_json:
        print_json(customer)
    else:
        print_customer(customer)
        click.echo(outcome)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
