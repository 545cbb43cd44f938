"""What a person sees while `fanwise simulate` plays a job through: one line on a terminal, as of a job that runs.

A thread looks at what has been counted, a few times a second; the simulation itself calls nothing for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task
from rich.progress_bar import ProgressBar

from fanwise_cli.progress import WIDE_COLUMNS, Words, counted, waiting
from fanwise_cli.summary import lasted
from fanwise_cli.terminal import JobConsole
from fanwise_local.simulation import Counts

LOOKS_PER_S = 4
_PHASES = {
    "PlanJob": "planning",
    "ProbeModel": "trying the model",
    "LoadModel": "trying the model",
    "PredictItems": "predicting",
    "WaitBeforeRound": "between rounds",
    "RecomputeItems": "predicting some items again",
    "AggregateResults": "accounting",
}


@contextmanager
def simulation_shown(
    console: JobConsole, batches: int, counts: Counts, *, quiet: bool
) -> Iterator[Callable[[], None]]:
    """Show how far a simulation of so many batches has come; without a terminal, only that there is one.

    Gives what takes the line away before the end.
    """
    if quiet or not console.is_interactive:
        with waiting(console, f"simulating {counted(batches, 'batch', 'batches')}", quiet=quiet):
            yield lambda: None
        return
    is_wide = console.width >= WIDE_COLUMNS
    columns = _columns(SimulationProgress(counts, batches), is_wide=is_wide)
    with Progress(
        *columns, console=console, transient=True, expand=is_wide, refresh_per_second=LOOKS_PER_S
    ) as shown:
        shown.add_task("")
        yield shown.stop


class SimulationProgress:
    """How far a simulation has come, in words; batches are those of the round."""

    def __init__(self, counts: Counts, batches: int) -> None:
        self._counts = counts
        self._batches = batches

    @property
    def phase(self) -> str:
        """What the job does."""
        phase, rounds = _PHASES[self._counts.phase or "PlanJob"], len(self._counts.rounds)
        return f"{phase} (round {rounds})" if rounds > 1 and phase == "predicting" else phase

    @property
    def ended(self) -> int:
        """Batches whose child is over, well or not."""
        return self._counts.rounds[-1].ended if self._counts.rounds else 0

    @property
    def total(self) -> int:
        """All batches."""
        return self._counts.rounds[-1].entries if self._counts.rounds else self._batches

    @property
    def reached(self) -> str:
        """The time in the simulation."""
        return f"at {lasted(self._counts.reached_s)}"

    @property
    def running(self) -> str:
        """Execution environments at work."""
        return f"{self._counts.running:,} running"


class _Bar(ProgressColumn):
    """A bar as wide as there is room."""

    def __init__(self, progress: SimulationProgress) -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=self._progress.total, completed=self._progress.ended)


def _columns(progress: SimulationProgress, *, is_wide: bool) -> list[ProgressColumn]:
    """What the line says; on a narrow terminal without the bar."""
    batches = " batches" if is_wide else ""
    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        Words(lambda: progress.phase),
        Words(lambda: f"{progress.ended:,}/{progress.total:,}{batches}", "progress.download"),
        Words(lambda: progress.reached, "progress.elapsed"),
        Words(lambda: progress.running, "progress.data.speed"),
    ]
    if is_wide:
        columns.insert(2, _Bar(progress))
    return columns
