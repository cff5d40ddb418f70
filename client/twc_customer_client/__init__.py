"""The client of the Customer API, synchronous and asynchronous; `cli` is the command line."""

from twc.customer.v2.customer_pb2 import Address, Attribute, AttributeGroup, Customer

from twc_customer_client.aio.client import AsyncCustomerClient
from twc_customer_client.channels import Tls
from twc_customer_client.credentials import TokenFile, TokenSource, call_credentials
from twc_customer_client.errors import CustomerError
from twc_customer_client.oauth import ClientCredentials, OAuthClient
from twc_customer_client.results import ImportResult, UploadResult, Versioned
from twc_customer_client.sync.client import CustomerClient

__all__ = [
    "Address",
    "AsyncCustomerClient",
    "Attribute",
    "AttributeGroup",
    "ClientCredentials",
    "Customer",
    "CustomerClient",
    "CustomerError",
    "ImportResult",
    "OAuthClient",
    "Tls",
    "TokenFile",
    "TokenSource",
    "UploadResult",
    "Versioned",
    "call_credentials",
]
