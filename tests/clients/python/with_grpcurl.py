"""The calls of every client, by grpcurl, which takes the contract from reflection."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRPCURL = str(Path(sys.executable).with_name("grpcurl"))
SERVICE = "twc.customer.v2.CustomerService"

Call = Callable[..., list[dict[str, Any]]]


class Failed(Exception):
    """A call that failed, with what grpcurl printed."""


def caller(address: str, headers: dict[str, str]) -> Call:
    """Returns what calls an RPC with JSON messages, and returns those of the answer."""
    options = [f"-H={name}: {value}" for name, value in headers.items()]

    def call(rpc: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        command = [GRPCURL, "-plaintext", "-format-error", *options, "-d=@", address]
        command += [f"{SERVICE}/{rpc}"]
        sent = "".join(map(json.dumps, messages))
        ended = subprocess.run(command, input=sent, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Failed(ended.stderr)
        return list(_values(ended.stdout))

    return call


def _values(text: str) -> Any:
    decoder, position = json.JSONDecoder(object_pairs_hook=_with_plain_names), 0
    while text := text[position:].lstrip():
        value, position = decoder.raw_decode(text)
        yield value


def _with_plain_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # This grpcurl writes names as reflection has them, newer ones in camelCase.
    return {name.replace("_", "").lower() if name.isascii() else name: it for name, it in pairs}


def failure(call: Call, *request: Any) -> dict[str, Any] | None:
    """Returns what the tests compare of an error, as grpcurl prints it."""
    try:
        call(*request)
    except Failed as failed:
        [status] = _values(str(failed))
    else:
        return None
    details = {detail["@type"].rpartition(".")[2]: detail for detail in status["details"]}
    return {
        "code": status["code"],
        "reason": details["ErrorInfo"]["reason"],
        "metadata": details["ErrorInfo"].get("metadata", {}),
        "fields": [it["field"] for it in details.get("BadRequest", {}).get("fieldviolations", [])],
    }


def observe(given: dict[str, Any]) -> dict[str, Any]:
    """Returns what the calls returned."""
    values = given["values"]
    call = caller(given["address"], given["headers"])

    def show(customer: dict[str, Any]) -> dict[str, Any]:
        group = customer["attributegroups"][values["group"]]
        return {
            "ref": customer["customerref"],
            "email": customer["email"],
            "firstName": customer["firstname"],
            "lastName": customer["lastname"],
            "mobile": customer["mobile"],
            "state": customer["customerstate"],
            "city": customer["defaultaddress"]["city"],
            "country": customer["addresses"][0]["countrycode"],
            "attribute": group["attributes"][values["attribute"]]["attributevalue"],
        }

    size = {"attribute_value": "42", "value_type": "INTEGER"}
    customer = {
        "customerRef": values["ref"],
        "email": values["email"],
        "firstName": values["firstName"],
        "lastName": values["lastName"],
        "mobile": values["mobile"],
        "customer_state": "invited",
        "addresses": [{"city": values["city"], "countryCode": values["country"]}],
        "attributeGroups": {values["group"]: {"attributes": {values["attribute"]: size}}},
    }
    [created] = call("CreateCustomer", {"customer": customer})
    by_id = {"id": created["id"]}
    twin, invalid = {"email": values["email"]}, {"email": "a", "addresses": [{"countryCode": "XX"}]}
    errors = {
        "clash": failure(call, "CreateCustomer", {"customer": twin}),
        "invalid": failure(call, "CreateCustomer", {"customer": invalid}),
        "missing": failure(call, "GetCustomerByRef", {"customerRef": "none"}),
        "anonymous": failure(caller(given["address"], {}), "GetCustomer", by_id),
    }
    [read] = call("GetCustomer", by_id)
    [by_ref] = call("GetCustomerByRef", {"customerRef": values["ref"]})
    found = call("LookupCustomers", {"email": values["email"]})
    change = by_id | {"lastName": values["newName"], "customer_state": "enabled"}
    [updated] = call("UpdateCustomer", {"customer": change})
    call("DeleteCustomer", by_id)
    [afterwards] = call("GetCustomer", by_id)
    uploaded = call("UploadCustomers", *({"customer": {"email": it}} for it in values["upload"]))
    return {
        "id": created["id"],
        "created": show(created),
        "read": show(read),
        "byRef": show(by_ref),
        "found": [show(customer) for customer in found],
        "updated": show(updated),
        "afterwards": afterwards.get("id"),
        "errors": errors,
        "uploaded": [
            it["customer"]["email"] if "customer" in it else it["error"]["code"] for it in uploaded
        ],
    }


print(json.dumps(observe(json.loads(sys.argv[1]))))  # noqa: T201 - to the test
