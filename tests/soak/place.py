"""A service on a database of its own, which is killed and started again on the same data."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import grpc

from tests.gateway.service import UnsharedService
from tests.gateway.stacks import http_headers
from tests.soak.databases import OwnDatabase
from tests.support.client import SECONDS, Client, read_failure
from tests.support.server_process import wait_until
from twc_customer_gateway.config import ENVOYS, LARGE_BODIES

# Enough for one to be killed, and others to race.
WORKERS = 3
# One tenant makes all calls of a proof.
_SETTINGS = {
    "workers": WORKERS,
    "tenant_requests_per_second": 0,
    "tenant_concurrent_calls": 1000,
    "threads": 16,
    # Half of the threads, as all tenants together.
    "tenant_streams": 8,
}

Headers = Mapping[str, str]


class Answer(NamedTuple):
    """What a client learns of its call: that it was done, that it was not, or neither."""

    status: str
    # Of an error, the message.
    value: Any = None
    etag: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the call succeeded."""
        return self.status == "OK"

    @property
    def is_away(self) -> bool:
        """Whether the service had no effect, and could not be reached for the moment."""
        return self.status in _AWAY

    @property
    def is_unknown(self) -> bool:
        """Whether the call may have had its effect, or may have it yet."""
        return self.status in _UNKNOWN


LOST = "lost"
# Statuses of the gateway and of gRPC.
_AWAY = {"503", "UNAVAILABLE"}
_UNKNOWN = {LOST, "UNKNOWN", "504", "DEADLINE_EXCEEDED", "CANCELLED"}
_OUTCOME_UNKNOWN = 2


class Place:
    """The service, by turns with other processes and on other ports; always with the same data."""

    def __init__(self, database: OwnDatabase, folder: Path, **settings: Any) -> None:
        self.database = database
        self._folder = folder
        self._settings = _SETTINGS | database.settings | settings
        self.service = UnsharedService(folder, **self._settings)

    def __enter__(self) -> Self:
        try:
            self.service.wait_ready()
        except BaseException:
            self.service.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.service.close()

    def wait_whole(self) -> None:
        """Waits until all processes run, those among them that were killed before."""
        settings = self.service.settings
        # Inside Envoy the public ones are the servers.
        others = [LARGE_BODIES] if settings.serve == "inprocess" else ENVOYS
        whole = settings.workers + len(others)
        wait_until(lambda: len(self.service.children()) == whole)

    def restart(self) -> None:
        """Starts the service again after its supervisor was killed."""
        service = UnsharedService(self._folder, **self._settings)
        try:
            service.wait_ready()
        except BaseException:
            service.close()
            raise
        self.service = service


class Caller:
    """A tenant's client by REST and gRPC, which finds the service wherever it is."""

    def __init__(self, place: Place, tenant: str) -> None:
        self._place = place
        self._tenant = tenant
        self._headers = http_headers(tenant)
        self._service: UnsharedService | None = None
        self._rest: http.client.HTTPConnection | None = None
        self._channel: grpc.Channel | None = None

    def rest(
        self, method: str, path: str, content: Any = None, headers: Headers = MappingProxyType({})
    ) -> Answer:
        """Makes a REST call, below `/api/v2`."""
        body = None if content is None else json.dumps(content)
        media = {} if content is None else {"content-type": "application/json"}
        self._find()
        connection = self._rest or http.client.HTTPConnection(
            "127.0.0.1", self._place.service.settings.gateway_port, timeout=SECONDS
        )
        try:
            connection.request(
                method, f"/api/v2{path}", body, {**self._headers, **media, **headers}
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._rest = None
            return Answer(LOST)
        self._rest = connection
        value = json.loads(content) if content else None
        if answer.status < 300:
            return Answer("OK", value, answer.getheader("etag", ""))
        if value and value["code"] == _OUTCOME_UNKNOWN:
            return Answer("UNKNOWN", value["message"])
        return Answer(str(answer.status), value and value["message"])

    def native(
        self, call: Callable[[Client], Any], headers: Headers = MappingProxyType({})
    ) -> Answer:
        """Makes a call of a client of the native port."""
        self._find()
        self._channel = self._channel or self._place.service.native()
        client = Client(self._channel, self._tenant, tuple(headers.items()))
        try:
            return Answer("OK", call(client), str(client.headers.get("etag", "")))
        except grpc.RpcError as error:
            # Without a reason it is the connection, or the client's own time, that was over.
            status = error.code().name if read_failure(error).reason else LOST
            return Answer(status, error.details())

    def close(self) -> None:
        """Closes the connections."""
        if self._rest:
            self._rest.close()
        if self._channel:
            self._channel.close()
        self._rest = self._channel = None

    def _find(self) -> None:
        """Forgets connections to a service that was replaced."""
        if self._service is not self._place.service:
            self.close()
            self._service = self._place.service


@contextmanager
def calling(place: Place, tenant: str) -> Iterator[Caller]:
    """Yields a tenant's client, whose connections end with the block."""
    caller = Caller(place, tenant)
    try:
        yield caller
    finally:
        caller.close()
