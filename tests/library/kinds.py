"""Both kinds of client behind one interface, so that each test holds for both."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self, cast

from twc_customer_client import AsyncCustomerClient, CustomerClient
from twc_customer_client.aio.items import AsyncItems

KINDS = ("sync", "async")

# Makes a client; it takes what the constructor of one does.
MakeClient = Callable[..., CustomerClient]


class Blocking:
    """An asynchronous client that is called like the synchronous one, with a loop of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._client = self._run(self._open(*args, **options))
        except BaseException:
            self._loop.close()
            raise

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            # Iterators, too, begin within the loop.
            return self._run(_made(method, args, options))

        return call if callable(method) else method

    def close(self) -> None:
        """Closes the client and the loop."""
        self._run(self._client.close())
        self._run(self._loop.shutdown_asyncgens())
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self, *args: Any, **options: Any) -> AsyncCustomerClient:
        return AsyncCustomerClient(*args, **options)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        result = self._loop.run_until_complete(coroutine)
        return _BlockingItems(result, self._run) if isinstance(result, AsyncItems) else result


class _BlockingItems(Iterator[Any]):
    def __init__(
        self, items: AsyncItems[Any], run: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._items = items
        self._run = run

    @property
    def cursor(self) -> str:
        return self._items.cursor

    def __next__(self) -> Any:
        try:
            return self._run(self._items.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._run(self._items.close())


def make_client(kind: str, *args: Any, **options: Any) -> CustomerClient:
    """Makes a client of a kind."""
    if kind == "sync":
        return CustomerClient(*args, **options)
    return cast("CustomerClient", Blocking(*args, **options))


async def _made(method: Callable[..., Any], args: Any, options: Any) -> Any:
    result = method(*args, **options)
    return await result if asyncio.iscoroutine(result) else result
