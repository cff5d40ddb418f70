# Made of `aio/client.py` by `make format`: change that.
"""The synchronous client of the Customer API."""

from twc_customer_client.sync.bulk import Bulk
from twc_customer_client.sync.writes import Writes


class CustomerClient(Writes, Bulk):
    """Calls the Customer API for one tenant.

    Errors are `CustomerError` and its kinds. Transient failures are repeated for
    up to `retry_for` seconds; writes with an idempotency key that the client
    makes, so that each has one effect. `timeout` of a call is the end of all its
    attempts; by default each attempt has the time that the contract gives it.

    `etag` values for `if_match` come from `get_versioned`: a call with one fails
    with EtagMismatch if the customer has changed since.
    """
