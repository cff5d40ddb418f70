"""The connection of a client: its channel, its stub, and the options of its calls."""

from typing import Self
from uuid import uuid4

from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from twc_customer_client.aio.calls import AsyncCalls
from twc_customer_client.aio.runtime import Token, open_channel, token_source
from twc_customer_client.calls import CallOptions, CallSettings, headers
from twc_customer_client.channels import Tls, channel_credentials
from twc_customer_client.retries import OnRetry


class AsyncConnection:
    """Opens the channel of a client, and closes it."""

    def __init__(
        self,
        target: str,
        *,
        tenant: str,
        token: Token,
        tls: Tls | bool | None = None,
        plaintext: bool = False,
        timeout: float | None = None,
        retry_for: float = 30.0,
        repeat_writes: bool = True,
        wait_for_ready: bool = False,
        on_retry: OnRetry | None = None,
        consistency: str | None = None,
    ) -> None:
        """Makes a channel, which connects with the first call.

        Without `tls` the channel is encrypted unless `target` is on this machine;
        `plaintext` permits an unencrypted one elsewhere. `timeout` are the seconds
        of each attempt and of each wait for a stream's next response but that of
        `follow`,
        `repeat_writes` gives writes keys of their own, `wait_for_ready` has calls
        wait for a connection in place of failing, and `on_retry` is told of each
        failure that is to be repeated, and when.

        With `consistency` reads may be of replicas, and see what this client has written and
        read: "latest" begins with what is newest, "any" with what a replica has, and the
        `consistency_token` of another client with what that has seen.

        Raises ValueError if the token would travel unencrypted or the tenant's name
        has other characters than ASCII, and OSError if a PEM file cannot be read.
        """
        headers(tenant=tenant, consistency=consistency)
        self._channel = open_channel(
            target, channel_credentials(target, tls=tls, plaintext=plaintext)
        )
        self._stub = CustomerServiceStub(self._channel)
        self._repeat_writes = repeat_writes
        settings = CallSettings(tenant, timeout, retry_for, wait_for_ready, on_retry, consistency)
        self._calls = AsyncCalls(token_source(token), settings)

    @property
    def consistency_token(self) -> str | None:
        """Returns the `consistency` with which another client sees all that this one has.

        It is "latest" where no token says it, and None if this one was made without.
        """
        return self._calls.consistency.value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channel, which cancels calls that are still open."""
        self._calls.is_closed = True
        await self._channel.close()

    def _write_options(
        self, timeout: float | None, idempotency_key: str | None, if_match: str | None = None
    ) -> CallOptions:
        """Returns the options of a write, which can be repeated if it has a key."""
        if idempotency_key is None and self._repeat_writes:
            idempotency_key = str(uuid4())
        return CallOptions(timeout, headers(idempotency_key=idempotency_key, if_match=if_match))
