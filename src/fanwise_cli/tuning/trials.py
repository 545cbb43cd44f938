"""What is tried, and what one try comes to: a real invocation of PredictBatch, which predicts and commits."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from fanwise.records import Commit, Entry, Runtime

NAMES: dict[str, str] = {
    "Runtime.OutOfMemory": "out of memory",
    "Sandbox.Timedout": "timed out",
    "Runtime.ExitError": "the process died",
}


@dataclass(frozen=True, order=True)
class Setting:
    """What an execution environment is made for."""

    runtime: Runtime
    memory_mb: int

    def __str__(self) -> str:
        return f"{self.runtime} at {self.memory_mb:,} MB"


@dataclass(frozen=True)
class Trial:
    """One invocation, in milliseconds. `duration_ms` is without `init_ms` and `load_ms`, which a cold one has.

    `failed` is why it did not do its work, and then the other figures say nothing.
    """

    duration_ms: float = 0.0
    init_ms: float = 0.0
    load_ms: float = 0.0
    peak_memory_mb: int | None = None
    dead_lettered: int = 0
    failed: str | None = None


Invoke = Callable[[Entry], Trial]


class Bench(Protocol):
    """Where tries are made."""

    def at(self, setting: Setting) -> AbstractContextManager[Invoke]:
        """A new execution environment, for as long as it is open: its first invocation is a cold one."""
        ...


@dataclass(frozen=True)
class Measured:
    """A batch size at a setting: its warm invocations, or why there are none."""

    batch_size: int
    trials: tuple[Trial, ...] = ()
    failed: str | None = None

    @property
    def duration_ms(self) -> float:
        """The median of its invocations."""
        return median(trial.duration_ms for trial in self.trials)

    @property
    def item_ms(self) -> float:
        """What that is an item."""
        return self.duration_ms / self.batch_size

    @property
    def spread(self) -> float:
        """How far its invocations are apart, as a share of their median."""
        durations = [trial.duration_ms for trial in self.trials]
        return (max(durations) - min(durations)) / max(self.duration_ms, 1e-9)

    @property
    def peak_memory_mb(self) -> int | None:
        """The most memory that its environment has held so far."""
        return max((trial.peak_memory_mb or 0 for trial in self.trials), default=0) or None


@dataclass(frozen=True)
class Searched:
    """A setting, as far as it was searched: its cold invocation, its batch sizes, and why there are no larger."""

    setting: Setting
    start: Trial
    measured: tuple[Measured, ...]
    ended: str

    @property
    def worked(self) -> list[Measured]:
        """The batch sizes that it has figures of."""
        return [one for one in self.measured if one.failed is None]

    @property
    def item_ms(self) -> float | None:
        """Its best time an item; None where nothing worked."""
        return min((one.item_ms for one in self.worked), default=None)


def trial_of(
    commit: Commit | None,
    count: int,
    *,
    duration_ms: float,
    init_ms: float,
    peak_memory_mb: int | None,
    error: str | None,
) -> Trial:
    """A try of `count` items: the invocation as its environment tells it, and the commit that it left."""
    if error is not None or commit is None:
        return Trial(peak_memory_mb=peak_memory_mb, failed=NAMES.get(error or "", error or "left no commit"))
    done = commit.predicted + commit.dead_lettered
    if done < count:
        return Trial(peak_memory_mb=peak_memory_mb, failed=f"{done:,} of {count:,} in time")
    load_ms = commit.invocation.load_ms if commit.invocation.cold else 0.0
    return Trial(
        duration_ms=max(duration_ms - load_ms, 0.001),
        init_ms=init_ms,
        load_ms=load_ms,
        peak_memory_mb=peak_memory_mb,
        dead_lettered=commit.dead_lettered,
    )
