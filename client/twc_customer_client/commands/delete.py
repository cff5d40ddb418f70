"""`twc-customers delete`, `restore` and `erase`: the end of a customer, and its deletion's."""

import json
from typing import Any

import click

from twc_customer_client.commands.printing import json_option, print_json
from twc_customer_client.commands.selection import (
    Selection,
    idempotency_key_option,
    if_match_option,
    selecting,
)
from twc_customer_client.options import ConnectionOptions


@click.command("delete")
@selecting
@if_match_option
@idempotency_key_option
@json_option("Print the result as JSON.")
@click.pass_obj
def delete_command(
    options: ConnectionOptions,
    /,
    *,
    selection: Selection,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Deletes a customer, which `restore` makes live again.

    Succeeds as well if no customer has the id.
    """
    with options.waiting.shown():
        customer_id = selection.find_id(options)
        options.client.delete(customer_id, timeout=options.write_seconds, **conditions)
    if as_json:
        click.echo(json.dumps({"id": customer_id, "deleted": True}))
    else:
        click.echo(f"deleted: no customer has the id {customer_id} until `restore` is run")


@click.command("restore")
@click.argument("customer_id", metavar="ID")
@if_match_option
@idempotency_key_option
@json_option("Print the customer as JSON.")
@click.pass_obj
def restore_command(
    options: ConnectionOptions,
    /,
    *,
    customer_id: str,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Makes a deleted customer live again, with all its data."""
    with options.waiting.shown():
        customer = options.client.restore(customer_id, timeout=options.write_seconds, **conditions)
    if as_json:
        print_json(customer)
    else:
        click.echo(f"restored the customer {customer.id}")


@click.command("erase")
@selecting
@if_match_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option("Print the result as JSON.")
@click.pass_obj
def erase_command(
    options: ConnectionOptions,
    /,
    *,
    selection: Selection,
    if_match: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Removes all data of a customer, live or deleted, for good."""
    with options.waiting.shown():
        customer_id = selection.find_id(options)
    if not yes:
        question = f"Remove all data of the customer {customer_id} of {options.tenant} for good?"
        click.confirm(question, abort=True, err=True)
    with options.waiting.shown():
        options.client.erase(customer_id, if_match=if_match, timeout=options.write_seconds)
    if as_json:
        click.echo(json.dumps({"id": customer_id, "erased": True}))
    else:
        click.echo(f"erased: nothing is held of a customer {customer_id} but its id and times")
