"""Bodies that are hard to read: the time that the gateway takes, and the size of its answer."""

from collections.abc import Iterator, Sequence
from math import inf

import pytest

from tests.gateway.body_reader import ROUTES, BodyReader, reading
from tests.gateway.json_shapes import LISTS, SHAPES, in_list
from twc_customer_gateway.filters import SMALL_BODY_BYTES
from twc_customer_gateway.matchers import HttpRoute

# From what is read before the caller is known.
SMALL = SMALL_BODY_BYTES
SIZES = [SMALL << doubling for doubling in range(6)]
UPLOAD_SIZES = [SMALL << doubling for doubling in range(7)]
# Of time for each byte: between sizes of a shape, and between shapes.
MAX_SIZE_RATIO = 3
MAX_SHAPE_RATIO = 4
# Other work on the machine adds to the time, so that the least of several rounds counts.
ROUNDS = 8
ROUND_BYTES = 64 << 10
MAX_ANSWER_BYTES = 32 << 10

[UPLOAD] = [route for route in ROUTES.values() if route.rpc.client_streaming]
OTHERS = [route for route in ROUTES.values() if route is not UPLOAD]


@pytest.fixture(scope="module")
def reader() -> Iterator[BodyReader]:
    """An Envoy that reads nothing else meanwhile."""
    with reading() as reader:
        yield reader


def _assert_ratio(
    reader: BodyReader, route: HttpRoute, bodies: Sequence[bytes], most: float
) -> None:
    """Fails if a body takes more than `most` times as long for each byte as the first one."""
    times = [inf] * len(bodies)
    for _ in range(ROUNDS):
        for number, body in enumerate(bodies):
            seconds = reader.seconds(route, body, max(ROUND_BYTES // len(body), 1))
            times[number] = min(times[number], seconds / len(body))
        if max(times) <= most * times[0]:
            return
    found = ", ".join(
        f"{seconds * 1e9:.0f} ns of {len(body):,}"
        for body, seconds in zip(bodies, times, strict=True)
    )
    pytest.fail(f"{route.rpc.name}, for each byte: {found}")


@pytest.mark.parametrize("shape", SHAPES)
def test_size(reader: BodyReader, shape: str) -> None:
    """A body takes at most three times as long for each byte as a small one of its shape."""
    bodies = [SHAPES[shape](size) for size in SIZES]
    for route in OTHERS:
        _assert_ratio(reader, route, bodies, MAX_SIZE_RATIO)


@pytest.mark.parametrize("shape", [*SHAPES, *LISTS])
def test_size_of_upload(reader: BodyReader, shape: str) -> None:
    """An upload takes at most three times as long for each byte as a small one of its shape."""
    make = LISTS[shape] if shape in LISTS else in_list(SHAPES[shape])
    _assert_ratio(reader, UPLOAD, [make(size) for size in UPLOAD_SIZES], MAX_SIZE_RATIO)


@pytest.mark.parametrize("shape", SHAPES)
def test_shape(reader: BodyReader, shape: str) -> None:
    """A small body of any shape takes at most four times as long as one of customers."""
    bodies = [SHAPES[name](SMALL) for name in ("customers", shape)]
    _assert_ratio(reader, ROUTES["CreateCustomer"], bodies, MAX_SHAPE_RATIO)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [SMALL, SIZES[-1]])
def test_answer(reader: BodyReader, shape: str, size: int) -> None:
    """Whatever is wrong with a body, and however often, the answer has at most 32 KiB."""
    answer = reader.send(ROUTES["CreateCustomer"], SHAPES[shape](size))

    assert len(answer) <= MAX_ANSWER_BYTES
