"""Outcomes of requests that carry a key: when they are kept, for how long, and who waits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from psycopg import errors

from tests.support.backends import Opener, only
from tests.support.postgres import Server
from tests.support.stores import insert, stamped
from twc_customer_server.errors import AlreadyExists, IdempotencyKeyReused, Unavailable
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.idempotency import LIFETIME_MILLISECONDS, Repeatable
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.schema import OutcomeRow
from twc_customer_server.storage.store import CustomerStore, Key

NOW = 1_700_000_000_000
SECONDS = 20


def request(key: str = "key", digest: bytes = b"digest", now: int = NOW) -> Repeatable:
    """A request that may be repeated."""
    return Repeatable(key, digest, now)


def fail() -> bytes:
    """What is not to be done."""
    raise AssertionError


def kept(database: Database, tenant: str) -> list[str]:
    """The keys of a tenant's outcomes."""
    query = OutcomeRow.select(OutcomeRow.key).where(OutcomeRow.tenant == "")
    return sorted(key for (key,) in database.rows(database.compile(query), (tenant,)))


def test_once(store: CustomerStore, tenant: str) -> None:
    """What was done once is not done again, and another request does not get its outcome."""
    assert store.once(tenant, request(), lambda: b"done") == b"done"
    assert store.once(tenant, request(), fail) == b"done"
    with pytest.raises(IdempotencyKeyReused):
        store.once(tenant, request(digest=b"other"), fail)
    assert store.once(f"{tenant}-other", request(), lambda: b"theirs") == b"theirs"


def test_without_key(store: CustomerStore, tenant: str) -> None:
    """A request without a key is done each time."""
    assert [store.once(tenant, None, partial(bytes, it)) for it in (b"1", b"2")] == [b"1", b"2"]


def test_nothing_and_much(store: CustomerStore, tenant: str) -> None:
    """An outcome may be no bytes, or as many as those of the largest upload."""
    for number, outcome in enumerate((b"", b"x" * (32 << 20))):
        keyed = request(str(number))
        assert store.once(tenant, keyed, partial(bytes, outcome)) == outcome
        assert store.once(tenant, keyed, fail) == outcome


def test_failure_undoes_all(store: CustomerStore, tenant: str) -> None:
    """What is done before a failure is undone with the key, and may be done anew."""
    customer, taken = stamped(), insert(store, tenant)

    def act() -> bytes:
        store.insert(tenant, customer)
        return store.insert(tenant, stamped(email=taken.email))

    with pytest.raises(AlreadyExists):
        store.once(tenant, request(), act)
    assert store.get(tenant, Key.id(customer.id)) is None
    assert store.once(tenant, request(digest=b"other"), lambda: b"done") == b"done"


@pytest.mark.parametrize(("age", "is_over"), [(LIFETIME_MILLISECONDS - 1, False), (0, True)])
def test_lifetime(store: CustomerStore, tenant: str, age: int, *, is_over: bool) -> None:
    """An outcome is kept for 24 hours; then its key is free for any request."""
    store.once(tenant, request(), lambda: b"done")
    later = request(digest=b"other", now=NOW + (age or LIFETIME_MILLISECONDS))
    if is_over:
        assert store.once(tenant, later, lambda: b"again") == b"again"
        assert store.once(tenant, later, fail) == b"again"
    else:
        with pytest.raises(IdempotencyKeyReused):
            store.once(tenant, later, fail)


def test_purge(opener: Opener) -> None:
    """A purge forgets what is over, of every tenant and however much, and nothing else."""
    with shut_down_after(opener()) as database:
        database.prepare()
        store = CustomerStore(database)
        for tenant in ("acme", "globex"):
            for number in range(3):
                keyed = request(f"{number}", now=NOW + number)
                store.once(tenant, keyed, lambda: b"done")
        claim = database.compile(
            OutcomeRow.insert({"tenant": "", "key": "", "digest": b"", "created_at": 0})
        )
        rows = [("many", f"{number:04}", b"", NOW) for number in range(2500)]
        database.write(lambda: database.run_each(claim, rows))

        store.purge(NOW + LIFETIME_MILLISECONDS)
        assert kept(database, "acme") == ["0", "1", "2"]
        assert len(kept(database, "many")) == 2500
        store.purge(NOW + LIFETIME_MILLISECONDS + 2)
        left = {name: kept(database, name) for name in ("acme", "globex", "many")}
        assert left == {"acme": ["2"], "globex": ["2"], "many": []}
        assert store.once("acme", request("2"), fail) == b"done"


def test_repeat_waits(store: CustomerStore, tenant: str) -> None:
    """A repeat that comes while the first runs waits for it, and has its outcome."""
    running, over = threading.Event(), threading.Event()

    def act() -> bytes:
        running.set()
        assert over.wait(SECONDS)
        return b"done"

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(store.once, tenant, request(), act)
        assert running.wait(SECONDS)
        others = [threads.submit(store.once, tenant, request(), fail) for _ in range(3)]
        assert not any(other.done() for other in others)
        over.set()
        assert [it.result(SECONDS) for it in (first, *others)] == [b"done"] * 4


def test_repeat_waits_for_failure(store: CustomerStore, tenant: str) -> None:
    """If the first fails, the repeat that waited is done in its place."""
    running, over = threading.Event(), threading.Event()

    def act() -> bytes:
        running.set()
        assert over.wait(SECONDS)
        raise KeyError

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(store.once, tenant, request(), act)
        assert running.wait(SECONDS)
        second = threads.submit(store.once, tenant, request(), lambda: b"second")
        over.set()
        assert isinstance(first.exception(SECONDS), KeyError)
        assert second.result(SECONDS) == b"second"


def test_repeat_waits_no_longer_than_it_may(postgres: Server) -> None:
    """A repeat whose first takes too long is told to come again, and then has its outcome."""
    running, over = threading.Event(), threading.Event()
    url = postgres.database()

    def act() -> bytes:
        running.set()
        assert over.wait(SECONDS)
        return b"done"

    with (
        shut_down_after(Postgres(url, 2, SECONDS, SECONDS)) as patient,
        shut_down_after(Postgres(url, 2, 0.2, SECONDS)) as hasty,
        ThreadPoolExecutor(1) as threads,
    ):
        patient.prepare()
        hasty.prepare()
        first = threads.submit(CustomerStore(patient).once, "acme", request(), act)
        assert running.wait(SECONDS)
        with pytest.raises(Unavailable):
            CustomerStore(hasty).once("acme", request(), fail)
        over.set()
        assert first.result(SECONDS) == b"done"
        assert CustomerStore(hasty).once("acme", request(), fail) == b"done"


@only("postgresql")
@pytest.mark.parametrize("error", [errors.SerializationFailure, errors.DeadlockDetected])
def test_runs_again(store: CustomerStore, tenant: str, error: type[Exception]) -> None:
    """What another transaction got in the way of is done again from the start, and stored once."""
    customers = [stamped() for _ in range(3)]
    tries: list[int] = []

    def act() -> bytes:
        tries.append(len(tries))
        refusals = store.insert_each(tenant, customers)
        if len(tries) < 3:
            raise error
        assert refusals == [None] * 3
        return b"done"

    assert store.once(tenant, request(), act) == b"done"
    assert store.once(tenant, request(), fail) == b"done"
    assert len(tries) == 3
    assert [store.get(tenant, Key.id(it.id)) for it in customers] == [
        it.SerializeToString() for it in customers
    ]


@pytest.mark.parametrize("key", ["a", "A", "ä" * 255])
def test_keys_are_exact(store: CustomerStore, tenant: str, key: str) -> None:
    """Keys are compared by their bytes."""
    store.once(tenant, request("a"), lambda: b"a")
    assert store.once(tenant, request(key), key.encode) == key.encode()
