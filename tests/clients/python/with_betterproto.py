"""The calls of every client, by betterproto."""

import asyncio
import json
import sys
from typing import Any

import lib.twc.customer.v2 as api
from grpclib import GRPCError
from grpclib.client import Channel

from tests.clients.python.grpclib_errors import described


async def observe(given: dict[str, Any]) -> dict[str, Any]:
    """Returns what the calls returned."""
    values = given["values"]
    host, port = given["address"].split(":")
    async with Channel(host, int(port)) as channel:
        service = api.CustomerServiceStub(channel, metadata=given["headers"])
        stranger = api.CustomerServiceStub(channel)

        async def failure(call: Any) -> Any:
            try:
                await call
            except GRPCError as error:
                return described(error)
            return None

        def show(customer: Any) -> dict[str, Any]:
            group = customer.attribute_groups[values["group"]]
            return {
                "ref": customer.customer_ref,
                "email": customer.email,
                "firstName": customer.first_name,
                "lastName": customer.last_name,
                "mobile": customer.mobile,
                "state": customer.customer_state.name,
                "city": customer.default_address.city,
                "country": customer.addresses[0].country_code,
                "attribute": group.attributes[values["attribute"]].attribute_value,
            }

        size = api.Attribute(attribute_value="42", value_type=api.AttributeValueType.INTEGER)
        customer = api.Customer(
            customer_ref=values["ref"],
            email=values["email"],
            first_name=values["firstName"],
            last_name=values["lastName"],
            mobile=values["mobile"],
            customer_state=api.CustomerState.invited,
            addresses=[api.Address(city=values["city"], country_code=values["country"])],
            attribute_groups={
                values["group"]: api.AttributeGroup(attributes={values["attribute"]: size})
            },
        )
        created = await service.create_customer(api.CreateCustomerRequest(customer=customer))
        by_id = api.GetCustomerRequest(id=created.id)
        twin = api.Customer(email=values["email"])
        invalid = api.Customer(email="ada", addresses=[api.Address(country_code="XX")])
        nobody = api.GetCustomerByRefRequest(customer_ref="none")
        errors = {
            "clash": await failure(
                service.create_customer(api.CreateCustomerRequest(customer=twin))
            ),
            "invalid": await failure(
                service.create_customer(api.CreateCustomerRequest(customer=invalid))
            ),
            "missing": await failure(service.get_customer_by_ref(nobody)),
            "anonymous": await failure(stranger.get_customer(by_id)),
        }
        read = await service.get_customer(by_id)
        by_ref = await service.get_customer_by_ref(
            api.GetCustomerByRefRequest(customer_ref=values["ref"])
        )
        lookup = api.LookupCustomersRequest(email=values["email"])
        found = [customer async for customer in service.lookup_customers(lookup)]
        change = api.Customer(
            id=created.id,
            last_name=values["newName"],
            customer_state=api.CustomerState.enabled,
        )
        updated = await service.update_customer(api.UpdateCustomerRequest(customer=change))
        await service.delete_customer(api.DeleteCustomerRequest(id=created.id))
        afterwards = await service.get_customer(by_id)
        items = [
            api.UploadCustomersRequest(customer=api.Customer(email=it)) for it in values["upload"]
        ]
        results = [result async for result in service.upload_customers(items)]
        return {
            "id": created.id,
            "created": show(created),
            "read": show(read),
            "byRef": show(by_ref),
            "found": [show(customer) for customer in found],
            "updated": show(updated),
            "afterwards": afterwards.id,
            "errors": errors,
            "uploaded": [
                it.customer.email if it.is_set("customer") else it.error.code for it in results
            ],
        }


print(json.dumps(asyncio.run(observe(json.loads(sys.argv[1])))))  # noqa: T201 - to the test
