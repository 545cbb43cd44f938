"""Ctrl-C, and SIGTERM like it, while an event loop runs: an event, or the end, and no exception anywhere in it."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from types import FrameType
from typing import Any, TypeVar

from fanwise_cli.exit_codes import EXIT_INTERRUPTED
from fanwise_cli.terminal import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Result = TypeVar("_Result")


def uninterrupted() -> AbstractContextManager[None]:
    """Take back what was changed, to the end: another Ctrl-C does not keep it from that."""
    return _handled(signal.SIG_IGN)


def ended_at_once(message: str, clear: Callable[[], None]) -> AbstractContextManager[None]:
    """Have the first signal end the process where it is, once the terminal is clear and the message said.

    For what holds nothing but memory: ten thousand tasks take seconds to cancel, and complain of an exception that
    comes in their midst.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            clear()
            say(message)
        finally:
            os._exit(EXIT_INTERRUPTED)

    return _handled(end)


@contextmanager
def _handled(handler: signal.Handlers | Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have both signals handled so; afterwards as before."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def interruption() -> Iterator[asyncio.Event]:
    """The event of the running loop that a signal sets, however often it comes."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@contextmanager
def loop_elsewhere() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own: a Ctrl-C is raised in the main thread, and the loop goes on."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = Thread(target=loop.run_forever, name="event loop", daemon=True)
        thread.start()
        try:
            yield loop
        finally:
            with uninterrupted():
                loop.call_soon_threadsafe(loop.stop)
                thread.join()


def result_of(coroutine: Coroutine[Any, Any, _Result], loop: asyncio.AbstractEventLoop) -> _Result:
    """What it returns or raises, run by a loop elsewhere; cancelled when the wait for it is interrupted."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
