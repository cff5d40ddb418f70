"""The event loop that pyvoy is given: coroutines go on where what they wait for is set."""

import asyncio
import logging
import threading
from typing import Any

import pytest

from twc_customer_server.transport.inprocess_loop import Future, LoopPolicy, run


async def _collect(future: Future, seen: list[Any]) -> None:
    try:
        result = await future
    except ValueError as error:
        result = str(error)
    seen.append((result, threading.current_thread().name))


def test_goes_on_where_the_result_is_set() -> None:
    """A coroutine that waits goes on at once, on the thread that sets the result."""
    future, seen = Future(), list[Any]()
    run(_collect(future, seen))
    assert (seen, future.done()) == ([], False)

    setting = threading.Thread(target=future.set_result, args=("part",), name="sets")
    setting.start()
    setting.join()
    assert (seen, future.done()) == ([("part", "sets")], True)

    future.set_result("another")
    assert len(seen) == 1


def test_does_not_wait_for_what_is_set() -> None:
    """A coroutine that awaits a result that is there, or an error, goes on at once."""
    given, failed, seen = Future(), Future(), list[Any]()
    given.set_result("part")
    failed.set_exception(ValueError("gone"))
    own = threading.current_thread().name
    for future in (given, failed):
        run(_collect(future, seen))
    assert seen == [("part", own), ("gone", own)]


def test_each_result_is_seen_once() -> None:
    """A coroutine sees each result once, in order, though another thread may be quicker than it."""
    numbers = range(2000)
    futures, seen, is_over = [Future() for _ in numbers], list[int](), threading.Event()

    async def collect() -> None:
        for future in futures:
            seen.append(await future)
        is_over.set()

    def set_all() -> None:
        for number, future in enumerate(futures):
            future.set_result(number)

    setting = threading.Thread(target=set_all)
    setting.start()
    run(collect())
    assert is_over.wait(60)
    setting.join()
    assert seen == list(numbers)


def test_errors_are_logged_without_their_message(caplog: pytest.LogCaptureFixture) -> None:
    """An error of a callback or a coroutine ends nothing else, and its message is not logged."""
    loop: Any = LoopPolicy().new_event_loop()

    async def fail() -> None:
        raise ValueError("private")

    with caplog.at_level(logging.ERROR):
        loop.call_soon_threadsafe(int, "private")
        run(fail())
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert "ValueError" in caplog.text
    assert "private" not in caplog.text


def test_runs_as_pyvoy_has_it() -> None:
    """The loop runs until it is stopped, and tells how a coroutine of another thread has ended."""
    loop: Any = LoopPolicy().new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    shutdown = loop.create_future()

    async def live() -> str:
        return str(await shutdown)

    outcome = asyncio.run_coroutine_threadsafe(live(), loop)
    assert not outcome.done()
    loop.call_soon_threadsafe(shutdown.set_result, "stop")
    assert outcome.result(0) == "stop"

    loop.call_soon_threadsafe(loop.stop)
    running.join(60)
    assert not running.is_alive()
    for closing in (loop.shutdown_asyncgens(), loop.shutdown_default_executor(1)):
        assert loop.run_until_complete(closing) is None
    loop.close()
