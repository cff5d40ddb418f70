"""`twc-customers restore` and `erase`: end the deletion of a customer."""

import json

import click

from twc_customer_client.commands.read import print_json
from twc_customer_client.options import ConnectionOptions


@click.command("restore")
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the customer as JSON.")
@click.pass_obj
def restore_command(options: ConnectionOptions, customer_id: str, *, as_json: bool) -> None:
    """Makes a deleted customer live again, with all its data."""
    customer = options.client.restore(customer_id)
    if as_json:
        print_json(customer)
    else:
        click.echo(f"restored the customer {customer.id}")


@click.command("erase")
@click.argument("customer_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def erase_command(
    options: ConnectionOptions, customer_id: str, *, yes: bool, as_json: bool
) -> None:
    """Removes all data of a customer, live or deleted, for good."""
    if not yes:
        question = f"Remove all data of the customer {customer_id} of {options.tenant} for good?"
        click.confirm(question, abort=True, err=True)
    options.client.erase(customer_id)
    if as_json:
        click.echo(json.dumps({"id": customer_id, "erased": True}))
    else:
        click.echo(f"erased: nothing is held of a customer {customer_id} but its id and times")
