"""`twc-customers merge`: merges a customer into another one."""

import json
from typing import Any

import click
from google.protobuf import json_format

from twc_customer_client.commands.printing import json_option, print_customer
from twc_customer_client.commands.selection import idempotency_key_option, if_match_option
from twc_customer_client.options import ConnectionOptions


@click.command("merge")
@click.argument("keep")
@click.argument("drop")
@click.option(
    "--take",
    "taken",
    multiple=True,
    metavar="FIELD",
    help="Take a field of DROP although KEEP has a value, as in 'email'. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print the merged customer without storing it.")
@if_match_option
@idempotency_key_option
@json_option("Print the result as JSON.")
@click.pass_obj
def merge_command(options: ConnectionOptions, /, **values: Any) -> None:
    """Merges the customer with the id DROP into the one with the id KEEP, and deletes it.

    KEEP keeps its values, and takes those that it lacks from DROP; addresses,
    tax exemptions and attributes are united. Consent to marketing is taken only
    with --take accepts_marketing. Prints the merged customer.
    """
    names = (name.strip() for value in values["taken"] for name in value.split(","))
    with options.waiting.shown():
        merged = options.client.merge(
            values["keep"],
            values["drop"],
            taken_fields=[name for name in names if name],
            validate_only=values["dry_run"],
            if_match=values["if_match"],
            idempotency_key=values["idempotency_key"],
            timeout=options.write_seconds,
        )
    if values["as_json"]:
        answer = json_format.MessageToDict(merged, always_print_fields_with_no_presence=True)
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    print_customer(merged.customer)
    dropped, kept = merged.dropped.id, merged.dropped.merged_into
    if values["dry_run"]:
        click.echo(f"nothing was stored: without --dry-run, {dropped} is merged into {kept}")
    else:
        click.echo(f"{dropped} was merged into {kept}, and deleted")
