"""What a person sees while a job runs: a bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text

from fanwise_local.states.executions import Execution, Observer
from fanwise_local.states.map_run import Child, MapRun

LINE_EVERY_S = 5.0


class _Items(ProgressColumn):
    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("")
        return Text(f"{int(task.completed):,}/{int(task.total):,} items", style="progress.download")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate: float | None = task.fields.get("rate")
        return Text(f"{rate:,.0f}/s" if rate else "", style="progress.data.speed")


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(time_left(task.remaining, task.fields.get("rate")), style="progress.remaining")


class _DeadLetters(ProgressColumn):
    def render(self, task: Task) -> Text:
        dead: int = task.fields.get("dead_lettered", 0)
        return Text(f"{dead:,} dead letter{'' if dead == 1 else 's'}", style="red" if dead else "dim")


def time_left(items: float | None, rate: float | None) -> str:
    """`1:05 left`, or nothing while the rate is not known."""
    if not rate or items is None:
        return ""
    seconds = round(items / rate)
    hours, minutes = divmod(seconds // 60, 60)
    clock = f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
    return f"{clock} left"


class JobProgress(Observer):
    """Follows an execution by what the local cloud tells as it happens.

    `total_of` reads the job's number of items from its plan, once there is one.
    """

    def __init__(self, console: Console, *, quiet: bool, total_of: Callable[[], int]) -> None:
        self._console = console
        self._quiet = quiet
        self._total_of = total_of
        self.total = 0
        self.done = 0
        self.dead_lettered = 0
        self._done_before = 0
        self._first_started = 0.0
        self._last_line = time.monotonic()
        self._phase = "planning"
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                _Items(),
                _Rate(),
                _TimeLeft(),
                _DeadLetters(),
                console=self._console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task(self._phase, total=None)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def state_entered(self, execution: Execution, state_name: str, input: Any) -> None:  # noqa: A002
        """Name the phase, and take the totals from what runs through the state machine."""
        if state_name == "PredictItems":
            self.total = self._total_of()
            self.done = max(self.done, input["decided"])
            self._done_before = self.done if not self._first_started else self._done_before
            self._first_started = self._first_started or time.monotonic()
            again = f" (round {input['round'] + 1})" if input["round"] else ""
            self._show("predicting" + again if self.done > self._done_before else "loading the model" + again)
        elif state_name in ("ProbeModel", "LoadModel"):
            self._show("trying the model")
        elif state_name == "WaitBeforeRound":
            self._show(f"waiting {input['wait_s']} s before the next round")
        elif state_name == "AggregateResults":
            self._show("accounting")

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        """Count what the child's invocation committed."""
        output = child.output if isinstance(child.output, dict) else {}
        dead = output.get("dead_lettered", 0)
        self.done += output.get("predicted", 0) + dead
        self.dead_lettered += dead
        self._show("predicting")

    @property
    def rate(self) -> float | None:
        """Items a second in this run, once some are done."""
        done = self.done - self._done_before
        return done / (time.monotonic() - self._first_started) if done and self._first_started else None

    def _show(self, phase: str) -> None:
        changed, self._phase = phase != self._phase, phase
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=phase,
                total=self.total or None,
                completed=self.done,
                rate=self.rate,
                dead_lettered=self.dead_lettered,
            )
        elif not self._quiet and (changed or time.monotonic() - self._last_line > LINE_EVERY_S):
            self._last_line = time.monotonic()
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def _line(self) -> str:
        parts = [self._phase]
        if self.total:
            parts.append(f"{self.done:,}/{self.total:,} items")
        if self.rate:
            parts.append(f"{self.rate:,.0f}/s")
            parts.append(time_left(self.total - self.done, self.rate))
        if self.dead_lettered:
            parts.append(f"{self.dead_lettered:,} dead letters")
        return "  ".join(parts)
