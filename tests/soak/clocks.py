"""Sets a server's clock, forwards and backwards, and looks at what must not depend on it.

Before and after each jump a client creates, changes, deletes, repeats, imports, uploads and
exports. Then the clock is set right, which is a jump back, and the client looks again.
"""

import itertools
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.soak.databases import OwnDatabase
from tests.soak.report import Plan, Report
from tests.soak.shifted_server import Clock
from tests.support.builders import address, customer
from tests.support.client import SECONDS, Client, failure, read_failure
from tests.support.concurrency import in_background
from tests.support.import_stream import ImportStream
from tests.support.program import say
from tests.support.server_process import ServerProcess, starting
from tests.support.tokens import trusted_issuer

T = TypeVar("T")

COLUMNS = ("Clock", "Rounds", "Promises looked at", "Broken")
DAY = 86_400.0
JUMPS = {"90 s ahead": 90.0, "90 s behind": -90.0, "a day ahead": DAY, "a day behind": -DAY}
_LIFETIME = 3600
# What a call may take until its time is taken.
_TOLERANCE_SECONDS = 10
_KEY = {"idempotency_key": "key-1"}


class Before(NamedTuple):
    """What a client knew when the clock was set."""

    client: Client
    # By how much the clock was wrong then.
    shift: float
    # As it was created, with the entity tag, and as it was changed.
    first: Customer
    tag: str
    changed: Customer
    # Created with a key.
    keyed: Customer
    # The last part of an export of all.
    exported: pb.ExportCustomersResponse


class Scene:
    """A server with its clock, and a tenant."""

    def __init__(self, server: ServerProcess, clock: Clock, tenant: str) -> None:
        self.clock = clock
        self._server = server
        self._tenant = tenant

    def client(self) -> Client:
        """A client with a token of an issuer whose clock is the server's."""
        now = int(self.clock.now())
        claims = {"tenant": self._tenant, "iat": now, "exp": now + _LIFETIME}
        token = trusted_issuer().token(**claims)
        return Client(self._server.channel, self._tenant, token=token)

    def before(self) -> Before:
        """Makes a client's calls before the clock is set."""
        client = self.client()
        first = client.create(customer())
        tag = client.etag
        changed = client.update(Customer(id=first.id, first_name="Ada"))
        keyed = client.given(**_KEY).create(_keyed(self._tenant))
        *_, exported = client.export()
        return Before(client, self.clock.shift, first, tag, changed, keyed, exported)


Check = Callable[[Scene, Before], None]


def stored(scene: Scene, before: Before) -> None:
    """A customer that was stored is as it was."""
    assert scene.client().get(before.changed.id) == before.changed


def dates(scene: Scene, before: Before) -> None:
    """A change has a later date than creation and the last change, and the entity tag of none."""
    client = scene.client()
    was = client.get(before.first.id)
    tags = {before.tag, client.etag}
    last = was.last_modified_date.ToMilliseconds()
    for number in range(3):
        now = client.update(Customer(id=before.first.id, last_name=f"King {number}"))
        assert now.created_date == was.created_date
        modified = now.last_modified_date.ToMilliseconds()
        assert modified > max(last, was.created_date.ToMilliseconds())
        assert client.etag not in tags
        tags.add(client.etag)
        last = modified


def conditions(scene: Scene, before: Before) -> None:
    """If-Match holds a change back by the tag of before, and admits it by that of now."""
    client = scene.client()
    change = Customer(id=before.first.id, first_name="Grace")
    refused = failure(lambda: client.given(if_match=before.tag).update(change))
    assert refused.reason == "ETAG_MISMATCH"
    client.get(before.first.id)
    client.given(if_match=client.etag).update(change)


def creation(scene: Scene, before: Before) -> None:
    """A new customer has the date that the clock shows, and can be changed and found."""
    client = scene.client()
    created = client.create(customer(addresses=[address()]))
    assert created.created_date == created.last_modified_date
    shown = scene.clock.now()
    assert abs(created.created_date.ToMilliseconds() / 1000 - shown) < _TOLERANCE_SECONDS
    assert created.id != before.first.id
    assert client.add_address(created.id, address(city="Rom")).addresses[1].city == "Rom"
    assert client.get_by_email(created.email).id == created.id


def deletion(scene: Scene, before: Before) -> None:
    """A customer of before can be deleted; what is unique of it is free again, and only then."""
    client = scene.client()
    twin = customer(email=before.keyed.email)
    # The value is the other's until that is deleted.
    assert failure(lambda: client.create(twin)).reason == "ALREADY_EXISTS"
    client.delete(before.keyed.id)
    again = client.create(twin)
    assert client.get_by_email(before.keyed.email).id == again.id


def repeats(scene: Scene, before: Before) -> None:
    """A repeat within 24 hours is answered as the first time; one after that changes nothing."""
    client = scene.client().given(**_KEY)
    request = _keyed(_tenant_of(before.keyed))
    if scene.clock.shift - before.shift < DAY:
        assert client.create(request) == before.keyed
    else:
        assert failure(lambda: client.create(request)).reason == "ALREADY_EXISTS"


def tokens(scene: Scene, before: Before) -> None:
    """A token counts until the clock shows its end; another clock may differ by the tolerance."""
    if scene.clock.shift - before.shift < _LIFETIME:
        before.client.get(before.first.id)
    else:
        refused = failure(lambda: before.client.get(before.first.id))
        assert refused.reason == "UNAUTHENTICATED"


def exports(scene: Scene, before: Before) -> None:
    """An export of all has each customer once, those of before and those of now."""
    client = scene.client()
    created = client.create(customer())
    ids = [it.id for part in client.export() for it in part.customers]
    assert len(ids) == len(set(ids))
    assert {before.first.id, before.keyed.id, created.id} <= set(ids)


def changes(scene: Scene, before: Before) -> None:
    """An export since the cursor of the last one has what was changed and created after that."""
    client = scene.client()
    changed = client.update(Customer(id=before.first.id, vip_status="gold"))
    created = client.create(customer())
    request = pb.ExportCustomersRequest(cursor=before.exported.next_cursor)
    found = {it.id: it for part in client.export(request) for it in part.customers}
    assert found[changed.id] == changed
    assert found[created.id] == created


def lists(scene: Scene, before: Before) -> None:
    """Lists by date and by name have each customer once."""
    client = scene.client()
    for order in ("createdDate", "lastModifiedDate desc", "lastName"):
        page = client.list_page(pb.ListCustomersRequest(order_by=order, page_size=1000))
        ids = [it.id for it in page.customers]
        assert len(ids) == len(set(ids))
        assert before.first.id in ids


class Streams(NamedTuple):
    """An import and an upload that have begun when the clock is set."""

    importing: ImportStream
    # The e-mail address of the customer that it has stored.
    imported: str
    upload: Future[list[pb.UploadCustomersResult]]
    # Lets the upload end.
    may_end: threading.Event


def imports(scene: Scene, streams: Streams) -> None:
    """An import goes on, or ends with its token; what it was answered is stored."""
    if scene.clock.shift < _LIFETIME:
        [result] = streams.importing.send(customer()).results
        assert result.created
    else:
        refused = failure(lambda: streams.importing.send(customer()))
        assert refused.reason == "UNAUTHENTICATED"
    assert scene.client().get_by_email(streams.imported).id


def uploads(scene: Scene, streams: Streams) -> None:
    """An upload that has begun is stored, unless its token ended before the server looked at it."""
    streams.may_end.set()
    error = streams.upload.exception(SECONDS)
    if isinstance(error, grpc.RpcError) and scene.clock.shift > _LIFETIME:
        assert read_failure(error).reason == "UNAUTHENTICATED"
    else:
        assert all(it.HasField("customer") for it in streams.upload.result())


STREAMS = (imports, uploads)
CHECKS: tuple[Check, ...] = (
    stored,
    repeats,
    dates,
    conditions,
    creation,
    tokens,
    lists,
    exports,
    changes,
    deletion,
)


def run(database: OwnDatabase, folder: Path, plan: Plan) -> Report:
    """Sets the clock by each jump, as often as the plan has rounds."""
    broken: dict[str, list[str]] = {name: [] for name in JUMPS}
    for number, (name, shift) in itertools.product(range(plan.rounds), JUMPS.items()):
        own = folder / f"{number}-{name.replace(' ', '-')}"
        own.mkdir()
        wrong = jump(database.settings, own, name, shift)
        say(f"[{number + 1}/{plan.rounds}] {name}: {'; '.join(wrong) or 'held'}")
        broken[name] += wrong
    looked_at = plan.rounds * (2 * len(CHECKS) + len(STREAMS))
    rows = [[name, plan.rounds, looked_at, len(wrong)] for name, wrong in broken.items()]
    return Report(COLUMNS, rows, [fault for wrong in broken.values() for fault in wrong])


def jump(settings: dict[str, Any], folder: Path, name: str, shift: float) -> list[str]:
    """Sets the clock of a server that runs, then right again; returns what did not hold."""
    settings["data_dir"].mkdir(parents=True, exist_ok=True)
    clock = Clock(folder)
    with starting(settings) as start:
        server = start(**clock.options)
        scene = Scene(server, clock, folder.name)
        before = scene.before()
        with _streaming(scene.client()) as streams:
            clock.set(shift)
            broken = _broken(name, STREAMS, scene, streams)
        broken += _broken(name, CHECKS, scene, before)
        # What is created now is from the future when the clock is right again, or from long ago.
        scene = Scene(server, clock, f"{folder.name}-and-back")
        before = scene.before()
        clock.set(0)
        return broken + _broken(f"{name} and back", CHECKS, scene, before)


def _broken(
    name: str, checks: Sequence[Callable[[Scene, T], None]], scene: Scene, known: T
) -> list[str]:
    """Makes checks, and returns those that fail, with what was not so."""
    broken = []
    for check in checks:
        try:
            check(scene, known)
        except (AssertionError, grpc.RpcError) as error:
            [line] = [it.line for it in traceback.extract_tb(error.__traceback__)][1:2]
            why = error.details() if isinstance(error, grpc.Call) else "not so"
            broken.append(f"{name}, {check.__name__}: {line}: {why}")
    return broken


@contextmanager
def _streaming(client: Client) -> Iterator[Streams]:
    """Begins an import and an upload, each with a customer, which end with the block."""
    first, second = customer(), customer()
    is_begun, may_end = threading.Event(), threading.Event()

    def items() -> Iterator[Customer]:
        yield first
        is_begun.set()
        may_end.wait(SECONDS)
        yield second

    importing = ImportStream(client)
    imported = customer()
    importing.send(imported)
    [upload] = in_background([lambda: client.upload(items())])
    assert is_begun.wait(SECONDS)
    try:
        yield Streams(importing, imported.email, upload, may_end)
    finally:
        may_end.set()
        importing.end()


def _keyed(tenant: str) -> Customer:
    return Customer(email=f"{tenant}@example.com")


def _tenant_of(keyed: Customer) -> str:
    return keyed.email.removesuffix("@example.com")
