"""`twc-customers get` and `lookup`: print single customers."""

from typing import Any

import click

from twc_customer_client.commands.printing import (
    json_option,
    print_customer,
    print_json,
    print_line,
)
from twc_customer_client.commands.selection import Selection, selecting
from twc_customer_client.options import ConnectionOptions
from twc_customer_client.progress import show_progress

_PAGE_SIZE = 1000


@click.command("get")
@selecting
@click.option("--etag", "is_etag", is_flag=True, help="Print the entity tag, for --if-match.")
@json_option("Print the customer as JSON.")
@click.pass_obj
def get_command(
    options: ConnectionOptions, *, selection: Selection, is_etag: bool, as_json: bool
) -> None:
    """Prints the customer with an id, a reference or an e-mail address."""
    with options.waiting.shown():
        if is_etag:
            etag = selection.find_versioned(options).etag
        else:
            customer = selection.find(options)
    if is_etag:
        click.echo(etag)
    elif as_json:
        print_json(customer)
    else:
        print_customer(customer)


@click.command("lookup")
@click.option("--email", help="The e-mail address.")
@click.option("--first-name", help="The given name.")
@click.option("--last-name", help="The family name.")
@click.option("--mobile", help="The mobile phone number.")
@click.option("--phone", help="The phone number.")
@json_option("Print each customer as a line of JSON.")
@click.pass_obj
def lookup_command(options: ConnectionOptions, /, *, as_json: bool, **fields: str | None) -> None:
    """Prints the customers that match every given option, one per line."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value}
    if not given:
        raise click.UsageError("give at least one option, such as --email ada@example.com")
    found = options.client.lookup(**given, page_size=_PAGE_SIZE, timeout=options.read_seconds)
    with show_progress("finding", None, options.waiting, prints=True) as update:
        for number, customer in enumerate(found, 1):
            update(number, 0)
            if as_json:
                print_json(customer)
            else:
                print_line(customer)
