"""Issuers that are slow, hang or publish too much, and tokens that make the service ask them."""

import time
import warnings
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.security.attacker import Attacker
from tests.security.attacks.registry import NOBODY, OWNER, attack
from tests.security.http1 import request
from tests.security.target import ATTACKER, KEYS, REALMS, VICTIM, headers_of
from tests.support.builders import NO_CUSTOMER
from tests.support.tokens import Issuer

_PATH = f"/api/v2{NO_CUSTOMER}"
# More than the lifetime of keys in the scene and what a renewal may take.
_SECONDS = 12.0


def _get(tenant: str, token: str) -> bytes:
    return request("GET", _PATH, headers_of(tenant, token).items())


def _forged(attacker: Attacker, *, exists: bool) -> bytes:
    """A get for a realm that was not named before, which the issuer may have."""
    realm = f"{'genuine' if exists else 'forged'}-{attacker.next()}"
    return _get(realm, attacker.issuer.unsigned_token(realm))


@attack(who=NOBODY, scene=REALMS, quick=NOBODY)
def forged_realms(attacker: Attacker) -> None:
    """Unsigned tokens, each of another realm, on 16 connections; the issuer takes 0.3 s."""
    attacker.issuer.seconds = 0.3
    attacker.repeat(lambda: _forged(attacker, exists=False), connections=16)


@attack(who=NOBODY, scene=REALMS)
def genuine_realms(attacker: Attacker) -> None:
    """The same, of realms that exist."""
    attacker.issuer.seconds = 0.3
    attacker.repeat(lambda: _forged(attacker, exists=True), connections=16)


@attack(who=NOBODY, scene=REALMS)
def forged_realms_of_a_slow_issuer(attacker: Attacker) -> None:
    """The same, of an issuer that takes 10 s for realms that do not exist."""
    attacker.issuer.seconds = 10
    attacker.repeat(lambda: _forged(attacker, exists=False), connections=16)


@attack(who=NOBODY, scene=KEYS, seconds=_SECONDS)
def issuer_that_hangs(attacker: Attacker) -> None:
    """The issuer accepts and never answers, and the keys at hand grow old."""
    attacker.issuer.hangs = True
    attacker.repeat(_get(VICTIM, attacker.issuer.unsigned_token(VICTIM)), connections=4)


@attack(who=NOBODY, scene=KEYS, seconds=_SECONDS)
def issuer_that_drips(attacker: Attacker) -> None:
    """The issuer answers a byte a second, and the keys at hand grow old."""
    attacker.issuer.drips = True
    attacker.repeat(_get(VICTIM, attacker.issuer.unsigned_token(VICTIM)), connections=4)


@attack(who=NOBODY, scene=KEYS, seconds=_SECONDS)
def issuer_of_300_megabytes(attacker: Attacker) -> None:
    """The issuer publishes a document of 300 MB."""
    attacker.issuer.mebibytes = 300
    attacker.repeat(_get(VICTIM, attacker.issuer.unsigned_token(VICTIM)), connections=4)


@attack(who=NOBODY, scene=KEYS, seconds=_SECONDS)
def issuer_of_packed_megabytes(attacker: Attacker) -> None:
    """The issuer publishes a document of 400 MB, compressed to 400 kB."""
    attacker.issuer.mebibytes, attacker.issuer.compresses = 400, True
    attacker.repeat(_get(VICTIM, attacker.issuer.unsigned_token(VICTIM)), connections=4)


@attack(who=NOBODY, scene=KEYS)
def forged_key_ids(attacker: Attacker) -> None:
    """Tokens that each name another key, on 16 connections."""

    def get() -> bytes:
        stranger = Issuer("https://issuer.example", attacker.next())
        return _get(VICTIM, stranger.token(tenant=VICTIM))

    attacker.repeat(get, connections=16)


@attack(who=NOBODY, scene=KEYS, seconds=5.0)
def weak_key(attacker: Attacker) -> None:
    """Tokens signed by a key of 1,024 bits that the issuer publishes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = attacker.issuer.weak_token(VICTIM)
    time.sleep(min(1, attacker.end - time.monotonic()))
    attacker.repeat(_get(VICTIM, token))


@attack(who=NOBODY, scene=KEYS, seconds=_SECONDS)
def removed_key(attacker: Attacker) -> None:
    """A token of a key that was removed, from when it may count no more."""
    removed = Issuer("https://issuer.example", "removed")
    issuer = attacker.issuer
    issuer.keys.append(removed)
    time.sleep(2)
    token = removed.token(tenant=VICTIM)
    connection = attacker.connect()
    if connection:
        # It may be good as yet, so this is no finding.
        connection.sendall(_get(VICTIM, token))
        attacker.drop(connection)
    issuer.keys.remove(removed)
    time.sleep(5)
    attacker.repeat(_get(VICTIM, token))


@attack(who=OWNER, scene=KEYS, seconds=10.0, native=True)
def import_past_its_token(attacker: Attacker) -> None:
    """An import that goes on after its token, of 3 s, has ended; one that is quiet, too."""
    token = attacker.issuer.token(ATTACKER, exp=int(time.time()) + 3)
    metadata = tuple(headers_of(ATTACKER, token).items())
    ends = time.monotonic() + 3

    def batches() -> Any:
        while not attacker.is_over:
            yield pb.ImportCustomersRequest(items=[pb.ImportItem(sequence=1)])
            time.sleep(0.5)

    with attacker.channel() as channel:
        answers = CustomerServiceStub(channel).ImportCustomers(batches(), metadata=metadata)

        def read() -> Any:
            for answer in answers:
                if time.monotonic() > ends + 3:
                    attacker.outcomes.find("an import went on 3 s after its token had ended")
                yield answer

        attacker.call(read)
