"""What a person sees while a job runs: a bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from fanwise.commits import read_job, walk
from fanwise.records import Job, job_prefix
from fanwise.storage import Storage
from fanwise_cli.terminal import JobConsole
from fanwise_local.states.executions import Execution
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer

LINE_EVERY_S = 5.0
PATIENCE_S = 1.0  # before plain lines say what is waited for
WIDE_COLUMNS = 72  # that a bar between the words needs


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 item`, `2,000 items`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def a_second(rate: float) -> str:
    """A rate with as many digits as mean something: `0.25`, `7.5`, `1,240`."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def time_left(items: float, rate: float | None) -> str:
    """`1:05 left`, `2:03:04 left`; nothing while the rate is not known, or when no item is left."""
    if not rate or items <= 0:
        return ""
    seconds = round(items / rate)
    hours, minutes = divmod(seconds // 60, 60)
    clock = f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
    return f"{clock} left"


@contextmanager
def waiting(console: JobConsole, what: str, *, quiet: bool, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Say what is waited for: a spinner on a terminal; elsewhere a line, if it takes longer than `patience_s`."""
    if quiet:
        yield
    elif console.is_interactive:
        with console.status(what):
            yield
    else:
        late = threading.Timer(patience_s, console.tell, (f"{what} …",))
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()
            late.join()


class Ledger:
    """What the homes of jobs say of them, in a bucket (`s3://BUCKET/`)."""

    def __init__(self, storage: Storage, bucket_uri: str) -> None:
        self._storage = storage
        self._bucket_uri = bucket_uri

    def plan(self, job_id: str) -> Job:
        """The plan."""
        return read_job(self._storage, self._bucket_uri + job_prefix(job_id))

    def has_plan(self, job_id: str) -> bool:
        """Whether there is one: of an execution that died while it planned there is none."""
        try:
            self.plan(job_id)
        except FileNotFoundError:
            return False
        return True

    def total(self, job_id: str) -> int:
        """Items in the plan."""
        return self.plan(job_id).total

    def dead_lettered(self, job_id: str) -> int | None:
        """Dead letters in the commits that are there; None where they are too many to count."""
        commits = walk(self._storage, self._bucket_uri + job_prefix(job_id)).commits
        return sum(commit.dead_lettered for commit in commits)


class JobProgress(Observer):
    """Follows an execution by what the local cloud tells as it happens."""

    def __init__(
        self,
        console: JobConsole,
        *,
        quiet: bool,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        label: Callable[[], str] = str,
    ) -> None:
        """`clock` gives seconds; `label` what plain lines begin with, where there are several jobs."""
        self._console = console
        self._quiet = quiet
        self._ledger = ledger
        self._clock = clock
        self.label = label
        self.total = 0
        self.done = 0
        self.dead_lettered: int | None = 0
        self.phase = "planning"
        self._done_before = 0  # by a command that was interrupted
        self._first_started: float | None = None
        self._first_round = 0
        self._last_ended = 0.0
        self._last_line = clock()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_interactive:
            is_wide = self._console.width >= WIDE_COLUMNS
            columns = _columns(self, is_wide=is_wide)
            self._bar = Progress(*columns, console=self._console, transient=True, expand=is_wide)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def state_entered(self, execution: Execution, state_name: str, state_input: Any) -> None:
        """As an observer of an execution on this machine."""
        self.entered(state_name, state_input)

    def entered(self, state_name: str, state_input: Any) -> None:
        """Name the phase, and take the totals from what runs through the state machine."""
        if state_name == "PredictItems":
            self._round_begins(state_input)
        elif state_name in ("ProbeModel", "LoadModel"):
            self._show("trying the model")
        elif state_name == "WaitBeforeRound":
            self._show(f"waiting {state_input['wait_s']} s before the next round")
        elif state_name == "RecomputeItems":
            self._show("predicting some items again")
        elif state_name == "AggregateResults":
            self._show("accounting")

    def _round_begins(self, round_: dict[str, Any]) -> None:
        if self._first_started is None:
            self._first_started, self._first_round = self._clock(), round_["round"]
            self.total = self._ledger.total(round_["job_id"])
            self._done_before = self.done = round_["decided"]
            if self.done:
                self.dead_lettered = self._ledger.dead_lettered(round_["job_id"])
        self.done = max(self.done, round_["decided"])
        rounds = round_["round"] - self._first_round  # in this command: one that goes on begins at its first
        again = f" (round {rounds + 1})" if rounds else ""
        self._show(("predicting" if self.done > self._done_before else "loading the model") + again)

    def counted_up_to(self, done: int, *, is_first: bool) -> None:
        """So many items are done, as nearly as is known from afar; `is_first` is where the watching began."""
        if is_first:
            self._first_started, self._done_before = self._clock(), done
        if done != self.done:
            self.done, self._last_ended = done, self._clock()
        self._show(self.phase.replace("loading the model", "predicting") if self.done else self.phase)

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        """Count what the child's invocation committed."""
        output = child.output if isinstance(child.output, dict) else {}
        dead = output.get("dead_lettered", 0)
        self.done += output.get("predicted", 0) + dead
        self.dead_lettered = (self.dead_lettered or 0) + dead
        self._last_ended = self._clock()
        self._show(self.phase.replace("loading the model", "predicting"))

    @property
    def rate(self) -> float | None:
        """Items a second in this run, when the last child ended; None before that."""
        done = self.done - self._done_before
        if not done or self._first_started is None or self._last_ended <= self._first_started:
            return None
        return done / (self._last_ended - self._first_started)

    @property
    def time_left(self) -> str:
        """For what is not done yet, less the time since the last child ended; nothing while that is not known."""
        rate = self.rate
        if not rate:
            return ""
        return time_left(self.total - self.done - rate * (self._clock() - self._last_ended), rate)

    def _show(self, phase: str) -> None:
        changed, self.phase = phase != self.phase, phase
        if self._bar is not None:
            self._bar.update(self._task, total=self.total or None, completed=self.done)
        elif not self._quiet and (changed or self._clock() - self._last_line >= LINE_EVERY_S):
            self._last_line = self._clock()
            self._console.tell(self._line())

    def _line(self) -> str:
        parts = [self.label(), self.phase]
        if self.total:
            parts.append(f"{self.done:,}/{counted(self.total, 'item')}")
        if self.rate:
            parts += [f"{a_second(self.rate)}/s", self.time_left]
        if self.dead_lettered:
            parts.append(counted(self.dead_lettered, "dead letter"))
        return "  ".join(filter(None, parts))


class Words(ProgressColumn):
    """A column that says something of the job, in one line."""

    def __init__(self, words: Callable[[], str], style: str | Callable[[], str] = "") -> None:
        super().__init__(Column(no_wrap=True))
        self._words = words
        self._style = style

    def render(self, task: Task) -> Text:
        return Text(self._words(), self._style if isinstance(self._style, str) else self._style())


def _columns(job: JobProgress, *, is_wide: bool) -> list[ProgressColumn]:
    """What the bar says; on a narrow terminal in fewer words, and without the bar."""
    spinner = SpinnerColumn()
    phase = Words(lambda: job.phase)
    left = Words(lambda: job.time_left, "progress.remaining")
    if not is_wide:
        done = Words(lambda: f"{job.done:,}/{job.total:,}" if job.total else "", "progress.download")
        dead = Words(lambda: f"{job.dead_lettered:,} dead" if job.dead_lettered else "", "red")
        return [spinner, phase, done, left, dead]
    return [
        spinner,
        phase,
        BarColumn(bar_width=None),
        Words(lambda: f"{job.done:,}/{counted(job.total, 'item')}" if job.total else "", "progress.download"),
        Words(lambda: f"{a_second(job.rate)}/s" if job.rate else "", "progress.data.speed"),
        left,
        Words(
            lambda: "" if job.dead_lettered is None else counted(job.dead_lettered, "dead letter"),
            lambda: "red" if job.dead_lettered else "dim",
        ),
    ]
