"""Results of requests with an idempotency key: how they are stored, and who waits for them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from psycopg import errors

from tests.support.backends import only
from tests.support.postgres import Server
from tests.support.stores import insert, stamped
from twc_customer_server.errors import AlreadyExists, IdempotencyKeyReused, Unavailable
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.idempotency import (
    LIFETIME_MILLISECONDS,
    IdempotencyStore,
    IdempotentRequest,
)
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

NOW = 1_700_000_000_000
SECONDS = 20


def request(key: str = "key", digest: bytes = b"digest", now: int = NOW) -> IdempotentRequest:
    """A request with an idempotency key."""
    return IdempotentRequest(key, digest, now)


@pytest.fixture
def idempotency(database: Database) -> IdempotencyStore:
    """The results that are stored in the shared database."""
    return IdempotencyStore(database)


def fail() -> bytes:
    """What is not to be done."""
    raise AssertionError


def test_request_done_once(idempotency: IdempotencyStore, tenant: str) -> None:
    """What was done once is not done again, and another request does not get its outcome."""
    assert idempotency.run_idempotent(tenant, request(), lambda: b"done") == b"done"
    assert idempotency.run_idempotent(tenant, request(), fail) == b"done"
    with pytest.raises(IdempotencyKeyReused):
        idempotency.run_idempotent(tenant, request(digest=b"other"), fail)
    assert idempotency.run_idempotent(f"{tenant}-other", request(), lambda: b"theirs") == b"theirs"


def test_empty_and_largest_outcome(idempotency: IdempotencyStore, tenant: str) -> None:
    """An outcome may be no bytes, or as many as those of the largest upload."""
    for number, outcome in enumerate((b"", b"x" * (32 << 20))):
        keyed = request(str(number))
        assert idempotency.run_idempotent(tenant, keyed, partial(bytes, outcome)) == outcome
        assert idempotency.run_idempotent(tenant, keyed, fail) == outcome


def test_rollback_on_failure(
    idempotency: IdempotencyStore, store: CustomerStore, tenant: str
) -> None:
    """What is done before a failure is undone with the key, and may be done anew."""
    customer, taken = stamped(), insert(store, tenant)

    def act() -> bytes:
        store.insert(tenant, customer)
        return store.insert(tenant, stamped(email=taken.email))

    with pytest.raises(AlreadyExists):
        idempotency.run_idempotent(tenant, request(), act)
    assert store.get(tenant, Key.id(customer.id)) is None
    assert idempotency.run_idempotent(tenant, request(digest=b"other"), lambda: b"done") == b"done"


@pytest.mark.parametrize(("age", "is_over"), [(LIFETIME_MILLISECONDS - 1, False), (0, True)])
def test_lifetime(idempotency: IdempotencyStore, tenant: str, age: int, *, is_over: bool) -> None:
    """An outcome is kept for 24 hours; then its key is free for any request."""
    idempotency.run_idempotent(tenant, request(), lambda: b"done")
    later = request(digest=b"other", now=NOW + (age or LIFETIME_MILLISECONDS))
    if is_over:
        assert idempotency.run_idempotent(tenant, later, lambda: b"again") == b"again"
        assert idempotency.run_idempotent(tenant, later, fail) == b"again"
    else:
        with pytest.raises(IdempotencyKeyReused):
            idempotency.run_idempotent(tenant, later, fail)


def test_repeat_of_running_request(idempotency: IdempotencyStore, tenant: str) -> None:
    """A repeat that comes while the first runs waits for it, and has its outcome."""
    running, over = threading.Event(), threading.Event()

    def act() -> bytes:
        running.set()
        assert over.wait(SECONDS)
        return b"done"

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(idempotency.run_idempotent, tenant, request(), act)
        assert running.wait(SECONDS)
        others = [
            threads.submit(idempotency.run_idempotent, tenant, request(), fail) for _ in range(3)
        ]
        assert not any(other.done() for other in others)
        over.set()
        assert [it.result(SECONDS) for it in (first, *others)] == [b"done"] * 4


def test_repeat_of_failing_request(idempotency: IdempotencyStore, tenant: str) -> None:
    """If the first fails, the repeat that waited is done in its place."""
    running, over = threading.Event(), threading.Event()

    def act() -> bytes:
        running.set()
        assert over.wait(SECONDS)
        raise KeyError

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(idempotency.run_idempotent, tenant, request(), act)
        assert running.wait(SECONDS)
        second = threads.submit(idempotency.run_idempotent, tenant, request(), lambda: b"second")
        over.set()
        assert isinstance(first.exception(SECONDS), KeyError)
        assert second.result(SECONDS) == b"second"


def test_repeat_of_slow_request(postgres: Server) -> None:
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
        first = threads.submit(IdempotencyStore(patient).run_idempotent, "acme", request(), act)
        assert running.wait(SECONDS)
        with pytest.raises(Unavailable):
            IdempotencyStore(hasty).run_idempotent("acme", request(), fail)
        over.set()
        assert first.result(SECONDS) == b"done"
        assert IdempotencyStore(patient).run_idempotent("acme", request(), fail) == b"done"


@only("postgresql")
@pytest.mark.parametrize("error", [errors.SerializationFailure, errors.DeadlockDetected])
def test_retry_after_contention(
    idempotency: IdempotencyStore, store: CustomerStore, tenant: str, error: type[Exception]
) -> None:
    """What another transaction got in the way of is done again from the start, and stored once."""
    customers = [stamped() for _ in range(3)]
    tries: list[int] = []

    def act() -> bytes:
        tries.append(len(tries))
        conflicts = store.insert_each(tenant, customers)
        if len(tries) < 3:
            raise error
        assert conflicts == [None] * 3
        return b"done"

    assert idempotency.run_idempotent(tenant, request(), act) == b"done"
    assert idempotency.run_idempotent(tenant, request(), fail) == b"done"
    assert len(tries) == 3
    assert [store.get(tenant, Key.id(it.id)) for it in customers] == [
        it.SerializeToString() for it in customers
    ]


@pytest.mark.parametrize("key", ["a", "A", "ä" * 255])
def test_comparison_of_keys(idempotency: IdempotencyStore, tenant: str, key: str) -> None:
    """Keys are compared by their bytes."""
    idempotency.run_idempotent(tenant, request("a"), lambda: b"a")
    assert idempotency.run_idempotent(tenant, request(key), key.encode) == key.encode()
