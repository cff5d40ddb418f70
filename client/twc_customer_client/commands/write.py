"""`twc-customers create` and `update`: store single customers."""

from typing import Any

import click

from twc_customer_client.commands.customer_input import CustomerInput, customer_input
from twc_customer_client.commands.printing import json_option, print_stored
from twc_customer_client.commands.selection import (
    Selection,
    idempotency_key_option,
    if_match_option,
    selecting_by_option,
)
from twc_customer_client.options import ConnectionOptions


@click.command("create")
@customer_input
@click.option("--dry-run", is_flag=True, help="Print the customer as it would be stored.")
@idempotency_key_option
@json_option("Print the customer as JSON.")
@click.pass_obj
def create_command(
    options: ConnectionOptions,
    /,
    *,
    given: CustomerInput,
    dry_run: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Stores a new customer: the JSON object in FILE, - is standard input, and values of --set.

    Prints the customer as it is stored.
    """
    new = given.customer()
    with options.waiting.shown():
        if dry_run:
            customer = options.client.validate(new, timeout=options.read_seconds)
        else:
            customer = options.client.create(
                new, idempotency_key=idempotency_key, timeout=options.write_seconds
            )
    outcome = (
        "nothing was stored: without --dry-run, the customer is created"
        if dry_run
        else f"created the customer {customer.id}"
    )
    print_stored(customer, outcome, as_json=as_json)


@click.command("update")
@customer_input
@selecting_by_option
@if_match_option
@idempotency_key_option
@json_option("Print the customer as JSON.")
@click.pass_obj
def update_command(
    options: ConnectionOptions,
    /,
    *,
    given: CustomerInput,
    selection: Selection | None,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Changes the fields of a customer that FILE, - is standard input, and --set have.

    Lists and maps, such as all addresses, are replaced as a whole; null clears
    a field. The id, else the customer_ref, in FILE selects the customer, unless
    --id, --ref or --email does. Prints the customer as it is stored.
    """
    changed = given.customer()
    if not (selection or changed.id or changed.customer_ref):
        raise click.UsageError(
            "the customer is missing: give --id, --ref or --email, as in --email ada@example.com"
        )
    with options.waiting.shown():
        customer = options.client.update(
            changed,
            cleared_fields=given.cleared_fields(),
            key=selection.key_beside(given.value, options) if selection else None,
            timeout=options.write_seconds,
            **conditions,
        )
    print_stored(customer, f"updated the customer {customer.id}", as_json=as_json)
