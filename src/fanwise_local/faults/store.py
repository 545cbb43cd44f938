"""What strikes inside an invocation: deaths at its three moments, and a store that misbehaves.

`FaultLayer` lies under `Storage` and above the buckets, and asks the faults of the invocation that is at work. In
a function's process dying is a signal and waiting is waiting; a test in one process gives its own `die`,
`commit_late` and `sleep`, and has the same faults on its virtual clock.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeVar

from fanwise.errors import StoreUnavailable
from fanwise.storage import Backend, Body, ObjectInfo, pin_in
from fanwise_local.faults.rules import (
    ExceedMemory,
    ExceedTime,
    Fault,
    Kill,
    Moment,
    Operation,
    SlowStore,
    StoreError,
    StoreRule,
    Truncate,
    UncertainCreate,
    WriteLate,
)

_Rule = TypeVar("_Rule", bound=StoreRule)


class InvocationFaults:
    """The faults of one invocation, those that strike inside of it; others are left alone.

    `die` ends the work, and is given the name that Step Functions then sees: `Runtime.ExitError`,
    `Runtime.OutOfMemory` or `Sandbox.Timedout`. `commit_late` is given seconds and the conditional write to be
    done after them, while the caller hears `Sandbox.Timedout`; it answers as the write did, or does not return.
    """

    def __init__(
        self,
        faults: Iterable[Fault],
        *,
        die: Callable[[str], NoReturn],
        commit_late: Callable[[float, Callable[[], bool]], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        faults = tuple(faults)
        self._die = die
        self._commit_late = commit_late
        self._sleep = sleep
        self._killed = {fault.when for fault in faults if isinstance(fault, Kill)}
        self._ends = [fault for fault in faults if isinstance(fault, ExceedMemory | ExceedTime)]
        self._late = [fault.seconds for fault in faults if isinstance(fault, WriteLate)]
        self._store = [fault for fault in faults if isinstance(fault, StoreRule)]
        self._left = [fault.count for fault in self._store]
        self._counting = threading.Lock()  # of threads that decode ahead

    def begin(self) -> None:
        """The invocation begins: the moment before any work."""
        for fault in self._ends:
            self._die("Runtime.OutOfMemory" if isinstance(fault, ExceedMemory) else "Sandbox.Timedout")
        self._kill("before work")

    def meet(self, operation: Operation, name: str) -> None:
        """An operation on `bucket/key` begins: it waits, and raises what an ailing store raises."""
        for slow in self._hits(SlowStore, operation, name):
            self._sleep(slow.seconds)
        for fault in self._hits(StoreError, operation, name):
            if fault.error == "disk full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise StoreUnavailable("503 Slow Down (of the fault plan)")

    def shorten(self, name: str, body: Body) -> Body:
        """What is left of the body of a read."""
        if body.data and any(True for _ in self._hits(Truncate, "read", name)):
            return Body(body.data[: len(body.data) // 2], body.size_bytes)
        return body

    def create(self, name: str, write: Callable[[], bool]) -> bool:
        """A conditional write, which may be an entry's commit: the two later moments to die at."""
        if not _is_commit(name):
            return self._created(name, write)
        self._kill("between part and commit")
        if self._late:
            return self._commit_late(self._late[0], lambda: self._created(name, write))
        created = self._created(name, write)
        self._kill("after commit")
        return created

    def _created(self, name: str, write: Callable[[], bool]) -> bool:
        for fault in self._hits(UncertainCreate, "create", name):
            if not fault.done:
                raise StoreUnavailable("409 ConditionalRequestConflict (of the fault plan)")
            write()
            raise StoreUnavailable("the connection was reset (of the fault plan)")
        return write()

    def _kill(self, moment: Moment) -> None:
        if moment in self._killed:
            self._die("Runtime.ExitError")

    def _hits(self, kind: type[_Rule], operation: Operation, name: str) -> Iterator[_Rule]:
        for place, fault in enumerate(self._store):
            if isinstance(fault, kind) and fault.hits(operation, name) and self._is_taken(place):
                yield fault

    def _is_taken(self, place: int) -> bool:
        """Whether a fault may hit once more; it has, then."""
        with self._counting:
            left = self._left[place]
            if left is not None:
                self._left[place] = max(left - 1, 0)
            return left != 0


def _is_commit(name: str) -> bool:
    """Whether an object decides an entry: one below `commits/` (docs/contracts.md)."""
    return "/commits/" in name


class FaultLayer:
    """Of one process: the faults that are at work now, if any, and the buckets that have them."""

    def __init__(self) -> None:
        self.at_work: InvocationFaults | None = None

    def over(self, backends: Mapping[str, Backend]) -> dict[str, Backend]:
        """The same buckets, which ask this layer before they answer."""
        return {bucket: FaultyBackend(self, bucket, backend) for bucket, backend in backends.items()}

    @contextmanager
    def invocation(self, faults: InvocationFaults) -> Iterator[None]:
        """Begin an invocation with these faults; they are gone at its end."""
        before, self.at_work = self.at_work, faults
        try:
            faults.begin()
            yield
        finally:
            self.at_work = before


class FaultyBackend:
    """A bucket under a `FaultLayer`."""

    def __init__(self, layer: FaultLayer, bucket: str, inner: Backend) -> None:
        self._layer = layer
        self._bucket = bucket
        self._inner = inner

    def _meet(self, operation: Operation, key: str) -> tuple[InvocationFaults | None, str]:
        faults, name = self._layer.at_work, f"{self._bucket}/{key}"
        if faults is not None:
            faults.meet(operation, name)
        return faults, name

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        self._meet("head", key)
        return self._inner.head(key, version_id)

    def pin(self, key: str) -> ObjectInfo:
        self._meet("head", key)
        return pin_in(self._inner, key)

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        faults, name = self._meet("read", key)
        body = self._inner.read(key, start, end, pin)
        return body if faults is None else faults.shorten(name, body)

    def write(self, key: str, body: bytes) -> None:
        self._meet("write", key)
        self._inner.write(key, body)

    def create(self, key: str, body: bytes) -> bool:
        faults, name = self._meet("create", key)
        if faults is None:
            return self._inner.create(key, body)
        return faults.create(name, lambda: self._inner.create(key, body))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._meet("list", prefix)
        yield from self._inner.list(prefix)

    def delete(self, key: str) -> None:
        self._meet("delete", key)
        self._inner.delete(key)
