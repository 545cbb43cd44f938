"""What a person sees while `fanwise up` runs: a line for each job at work, and one for each that has ended."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from fanwise.errors import message_of_cause
from fanwise.planning.start import STATUS_CHANGE
from fanwise.records import job_prefix
from fanwise.storage import Storage
from fanwise_cli.progress import JobProgress, Ledger, a_second, counted
from fanwise_cli.summary import headline
from fanwise_cli.terminal import JobConsole
from fanwise_local.states.executions import Execution
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer


class JobsProgress(Observer):
    """Follows every execution; `storage` has the buckets, from when the endpoint is open."""

    def __init__(self, console: JobConsole, results_uri: str) -> None:
        self._console = console
        self._results_uri = results_uri
        self.storage = Storage({}, s3=False)
        self._jobs: dict[str, JobProgress] = {}  # by the ARNs of executions that run
        self._ids: dict[str, str] = {}  # likewise, what they are called
        self._tasks: dict[str, TaskID] = {}
        self._live: Progress | None = None
        self._is_silent = False

    def __enter__(self) -> Self:
        if self._console.is_interactive:
            self._live = Progress(*_columns(), console=self._console, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def stop(self) -> list[str]:
        """Say nothing more. Answers what has not ended: ids of jobs, or names of executions that have none yet."""
        self._is_silent = True
        return list(self._ids.values())

    def state_entered(self, execution: Execution, state_name: str, state_input: Any) -> None:
        """Begin to follow it; its job's id is known once it is planned."""
        arn = execution.arn
        if arn not in self._jobs:
            self._ids[arn] = execution.name
            self._jobs[arn] = JobProgress(
                self._console,
                quiet=self._console.is_interactive,
                ledger=Ledger(self.storage, self._results_uri),
                label=lambda: self._ids.get(arn, execution.name),
            )
            if self._live is not None:
                self._tasks[arn] = self._live.add_task("", total=None, job=self._jobs[arn])
        if isinstance(state_input, dict) and "job_id" in state_input:
            self._ids[arn] = str(state_input["job_id"])
        self._jobs[arn].state_entered(execution, state_name, state_input)

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        """Count it to its job."""
        job = self._jobs.get(map_run.execution_arn)
        if job is not None:
            job.child_ended(map_run, child)

    def execution_ended(self, execution: Execution) -> None:
        """Say in one line what came of it."""
        self._jobs.pop(execution.arn, None)
        name = self._ids.pop(execution.arn, execution.name)
        task = self._tasks.pop(execution.arn, None)
        if self._live is not None and task is not None:
            self._live.remove_task(task)
        is_told = execution.status == "SUCCEEDED" and _accounted_for_nothing(execution)
        if not self._is_silent and not is_told:
            self._console.tell(self._ended(execution, name))

    def _ended(self, execution: Execution, name: str) -> Text:
        output = execution.output if isinstance(execution.output, dict) else {}
        text = Text.assemble((name, "bold"), "  ")
        if output.get("duplicate"):
            return text.append("is there already; this was a second delivery", "dim")
        if execution.status == "SUCCEEDED" and "items" in output:
            text.append_text(headline(output))
            return text.append(f"  {self._results_uri}{job_prefix(output['job_id'])}", "dim")
        if execution.status == "SUCCEEDED":
            return text.append(execution.status)
        why = " ".join(message_of_cause(execution.cause or "").split())
        return text.append(f"{execution.status}  {': '.join(filter(None, (execution.error, why)))}", "red")


def _accounted_for_nothing(execution: Execution) -> bool:
    """Whether it closed an execution whose end was told already: it had no plan, or was accounted for."""
    output = execution.output if isinstance(execution.output, dict) else {}
    start = execution.input if isinstance(execution.input, dict) else {}
    is_closing = start.get("detail-type") == STATUS_CHANGE
    return output.get("job_id", "") is None or (is_closing and bool(output.get("duplicate")))


class _Said(ProgressColumn):
    """A column of what a job says of itself, in one line."""

    def __init__(self, words: Callable[[JobProgress], str], style: str = "") -> None:
        super().__init__(Column(no_wrap=True))
        self._words = words
        self._style = style

    def render(self, task: Task) -> Text:
        return Text(self._words(task.fields["job"]), self._style)


def _columns() -> list[ProgressColumn]:
    return [
        SpinnerColumn(),
        _Said(lambda job: job.label(), "bold"),
        _Said(lambda job: job.phase),
        _Said(
            lambda job: f"{job.done:,}/{counted(job.total, 'item')}" if job.total else "", "progress.download"
        ),
        _Said(lambda job: f"{a_second(job.rate)}/s" if job.rate else "", "progress.data.speed"),
        _Said(lambda job: job.time_left, "progress.remaining"),
        _Said(lambda job: counted(job.dead_lettered, "dead letter") if job.dead_lettered else "", "red"),
    ]
