"""What native reads cost a server that is running."""

from collections.abc import Iterator
from random import Random

from bench.documents import Documents
from bench.ground import Ground
from bench.load.requests import Request
from bench.load.running import Pressure, Protocol, put
from bench.scenarios import PATH, Scenario
from bench.serving import Serving
from bench.spent import Spent

_REQUESTS = 10_000
_CONNECTIONS, _STREAMS = 4, 8


def cpu(ground: Ground, serving: Serving, scenario: Scenario, customers: int) -> float:
    """Microseconds per request, of customers at random."""
    requests = list(_requests(ground.documents, scenario, customers))
    protocol = Protocol(PATH + scenario.rpc, ground.caller)
    lengths = (min(ground.lengths["gRPC"]) // 2, max(ground.lengths["gRPC"]) * 2)
    pressure = Pressure(_CONNECTIONS, lengths, _STREAMS)
    before = Spent(serving.pids)
    put(ground.folder, serving.ports, protocol, pressure, requests)
    return (Spent(serving.pids).seconds - before.seconds) * 1e6 / len(requests)


def _requests(documents: Documents, scenario: Scenario, customers: int) -> Iterator[Request]:
    rng = Random(customers)
    for number in rng.choices(range(customers), k=_REQUESTS):
        yield scenario.call(documents, number, "").grpc()
