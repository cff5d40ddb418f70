"""The clients have the whole of the contract, both in the same way."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import SERVICE
from twc_customer_client import AsyncCustomerClient, CustomerClient

# The methods that call each RPC, which together have all of its request.
METHODS = {
    "CreateCustomer": ["create"],
    "UploadCustomers": ["upload"],
    "ValidateCustomer": ["validate"],
    "UpdateCustomer": ["update"],
    "AddCustomerAddress": ["add_address"],
    "UpdateCustomerAddress": ["update_address"],
    "DeleteCustomerAddress": ["delete_address"],
    "MergeCustomers": ["merge"],
    "GetCustomer": ["get"],
    "GetCustomerByRef": ["get_by_ref"],
    "GetCustomerByAlternateRef": ["get_by_alternate_ref"],
    "GetCustomerByEmail": ["get_by_email"],
    "LookupCustomers": ["lookup"],
    "ListCustomers": ["list", "list_page"],
    "DeleteCustomer": ["delete"],
    "DeleteCustomerByRef": ["delete_by_ref"],
    "RestoreCustomer": ["restore"],
    "EraseCustomer": ["erase"],
    "ListCustomerChanges": ["changes"],
    "ImportCustomers": ["import_customers"],
    "ExportCustomers": ["export"],
    "WatchCustomers": ["follow"],
}
# Fields of requests that methods name otherwise, or set themselves.
RENAMED = {
    "id": {"customer_id", "only_id"},
    "customer": {"customer", "customers"},
    "items": {"customers"},
    "resume_token": {"self"},
    "wait_seconds": {"self"},
}


def parameters(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a method."""
    return dict(inspect.signature(method).parameters)


def test_rpcs() -> None:
    """Each RPC of the contract has a method."""
    assert METHODS.keys() == {method.name for method in SERVICE.methods}


@pytest.mark.parametrize("rpc", METHODS)
def test_fields(rpc: str) -> None:
    """Each field of a request is a parameter of the methods that make it."""
    taken = {
        name for method in METHODS[rpc] for name in parameters(getattr(CustomerClient, method))
    }
    fields = {field.name for field in SERVICE.methods_by_name[rpc].input_type.fields}

    missing = {field for field in fields if not taken & RENAMED.get(field, {field})}
    assert missing == set()


def public(kind: type) -> dict[str, Any]:
    """The public methods of a class, and what reads its properties."""
    found = {name: it for name, it in inspect.getmembers(kind) if not name.startswith("_")}
    return {name: it.fget if isinstance(it, property) else it for name, it in found.items()}


def test_kinds_are_alike() -> None:
    """Both clients have the same methods, with the same parameters and descriptions."""
    one, other = public(CustomerClient), public(AsyncCustomerClient)

    assert one.keys() == other.keys()
    for name, method in one.items():
        assert parameters(method).keys() == parameters(other[name]).keys()
        assert method.__doc__
        assert method.__doc__ == other[name].__doc__


def test_synchronous_client_is_made() -> None:
    """The synchronous client is what is made of the asynchronous one."""
    command = [sys.executable, "-m", "tools.sync_client", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
