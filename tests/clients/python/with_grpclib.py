"""The calls of every client, by grpclib."""

import asyncio
import json
import sys
from typing import Any

from grpclib import GRPCError
from grpclib.client import Channel
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Attribute, AttributeGroup, Customer
from twc.customer.v2.customer_service_grpc import CustomerServiceStub

from tests.clients.python.grpclib_errors import described


async def observe(given: dict[str, Any]) -> dict[str, Any]:
    """Returns what the calls returned."""
    values = given["values"]
    host, port = given["address"].split(":")
    async with Channel(host, int(port)) as channel:
        stub = CustomerServiceStub(channel)
        caller = given["headers"]

        async def failure(rpc: Any, request: Any, metadata: Any = caller) -> Any:
            try:
                await rpc(request, metadata=metadata)
            except GRPCError as error:
                return described(error)
            return None

        def show(customer: Customer) -> dict[str, Any]:
            group = customer.attribute_groups[values["group"]]
            return {
                "ref": customer.customer_ref,
                "email": customer.email,
                "firstName": customer.first_name,
                "lastName": customer.last_name,
                "mobile": customer.mobile,
                "state": Customer.State.Name(customer.customerState),
                "city": customer.default_address.city,
                "country": customer.addresses[0].country_code,
                "attribute": group.attributes[values["attribute"]].attribute_value,
            }

        size = Attribute(attribute_value="42", value_type=Attribute.INTEGER)
        customer = Customer(
            customer_ref=values["ref"],
            email=values["email"],
            first_name=values["firstName"],
            last_name=values["lastName"],
            mobile=values["mobile"],
            customerState=Customer.invited,
            addresses=[Address(city=values["city"], country_code=values["country"])],
            attribute_groups={
                values["group"]: AttributeGroup(attributes={values["attribute"]: size})
            },
        )
        created = await stub.CreateCustomer(
            pb.CreateCustomerRequest(customer=customer), metadata=caller
        )
        by_id = pb.GetCustomerRequest(id=created.id)
        twin = Customer(email=values["email"])
        invalid = Customer(email="ada", addresses=[Address(country_code="XX")])
        nobody = pb.GetCustomerByRefRequest(customer_ref="none")
        errors = {
            "clash": await failure(stub.CreateCustomer, pb.CreateCustomerRequest(customer=twin)),
            "invalid": await failure(
                stub.CreateCustomer, pb.CreateCustomerRequest(customer=invalid)
            ),
            "missing": await failure(stub.GetCustomerByRef, nobody),
            "anonymous": await failure(stub.GetCustomer, by_id, {}),
        }
        read = await stub.GetCustomer(by_id, metadata=caller)
        by_ref = await stub.GetCustomerByRef(
            pb.GetCustomerByRefRequest(customer_ref=values["ref"]), metadata=caller
        )
        found = await stub.LookupCustomers(
            pb.LookupCustomersRequest(email=values["email"]), metadata=caller
        )
        change = Customer(
            id=created.id, last_name=values["newName"], customerState=Customer.enabled
        )
        updated = await stub.UpdateCustomer(
            pb.UpdateCustomerRequest(customer=change), metadata=caller
        )
        await stub.DeleteCustomer(pb.DeleteCustomerRequest(id=created.id), metadata=caller)
        afterwards = await stub.GetCustomer(by_id, metadata=caller)
        results = await stub.UploadCustomers(
            [pb.UploadCustomersRequest(customer={"email": it}) for it in values["upload"]],
            metadata=caller,
        )
        return {
            "id": created.id,
            "created": show(created),
            "read": show(read),
            "byRef": show(by_ref),
            "found": [show(customer) for customer in found],
            "updated": show(updated),
            "afterwards": afterwards.id or None,
            "errors": errors,
            "uploaded": [
                it.customer.email if it.HasField("customer") else it.error.code for it in results
            ],
        }


print(json.dumps(asyncio.run(observe(json.loads(sys.argv[1])))))  # noqa: T201 - to the test
