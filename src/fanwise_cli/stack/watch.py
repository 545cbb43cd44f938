"""`fanwise watch`: a job of the stack, followed to its end. Watching changes nothing, and its end stops nothing.

A look asks for the execution, its last events and the Map Run's counts. What those count are entries; how many
items that is follows from the items that the rounds before have decided.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from fanwise.errors import StackUnreachable
from fanwise.records import home_of
from fanwise_cli.advice import Commands, advise, can_be_resumed, last_of, lines_of, remedy_of_missing
from fanwise_cli.collecting import read_parts
from fanwise_cli.examples import Example, examples_of, lines_of_parts
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OF_STATUS, EXIT_OK
from fanwise_cli.progress import JobProgress, Ledger
from fanwise_cli.stack.connection import DeployedStack, at_work
from fanwise_cli.stack.executions import Ending, describe, map_counts, moment
from fanwise_cli.stack.jobs import StackJob, job_of, summary_of
from fanwise_cli.summary import print_verdict, say_why_failed, told_lines
from fanwise_cli.terminal import JobConsole, for_results, print_document

EVERY_S = 3.0
PATIENCE_S = 300.0  # with a network that is away
MAX_COMMITS_READ = 2_000  # at the beginning of a round: some seconds
ACCOUNTING_S = 120.0  # for the execution that accounts for one that died or was stopped

Sleep = Callable[[float], None]


def watch(
    job: StackJob,
    stack: DeployedStack,
    console: JobConsole,
    *,
    as_json: bool,
    quiet: bool,
    sleep: Sleep = time.sleep,
) -> int:
    """Follow a job to its end and say what came of it; answers with the job's exit code."""
    watched = _Watched(job, stack, console, quiet=quiet)
    try:
        with watched.progress:
            ending, summary = watched.follow(sleep)
    except KeyboardInterrupt:
        if not quiet:
            name, again = watched.job.name, stack.options.again()
            console.tell(
                f"No longer watching; the job goes on. fanwise watch {name}{again} looks again,"
                f" fanwise stop {name}{again} stops it.",
                "yellow",
                wrap=True,
            )
        return EXIT_INTERRUPTED
    if summary is not None:
        return tell_summary(summary, stack, as_json=as_json, quiet=quiet)
    return _tell_ending(watched.job, ending, stack, console, as_json=as_json)


class FarLedger(Ledger):
    """The ledger of a job that is far away: of one of many entries, its commits are not read for their counts."""

    def dead_lettered(self, job_id: str) -> int | None:
        """Dead letters in the commits that are there, or None."""
        is_small = self.plan(job_id).entries <= MAX_COMMITS_READ
        return super().dead_lettered(job_id) if is_small else None


class _Watched:
    """One job, looked at again and again."""

    def __init__(self, job: StackJob, stack: DeployedStack, console: JobConsole, *, quiet: bool) -> None:
        self.job = job
        self._stack = stack
        self._console = console
        self._quiet = quiet
        self._ledger = FarLedger(stack.storage, f"s3://{stack.results_bucket}/")
        self.progress = JobProgress(console, quiet=quiet, ledger=self._ledger)
        self._state: tuple[str, Any] | None = None
        self._is_first_count = True

    def follow(self, sleep: Sleep) -> tuple[Ending, dict[str, Any] | None]:
        """Look until the execution has ended, and wait for what its end says of the job."""
        unanswered_s = 0.0
        while True:
            try:
                with at_work(self._stack):
                    ending = self._look()
                unanswered_s = 0.0
                if not ending.is_running:
                    break
            except StackUnreachable as error:
                if unanswered_s >= PATIENCE_S:
                    raise
                if not unanswered_s and not self._quiet:
                    self._console.tell(f"{error}; still trying", "yellow")
                unanswered_s += EVERY_S
            sleep(EVERY_S)
        return ending, self._summary_of(ending, sleep)

    def _look(self) -> Ending:
        """One look: what has changed is shown."""
        ending = describe(self._stack, self.job.execution)
        if not ending.is_running:
            return ending
        now = moment(self._stack, self.job.execution)
        if now is None:
            return ending
        if self._state != (now.state, now.state_input):
            self._state = now.state, now.state_input
            if now.state_input is not None:
                if now.state == "PredictItems" and now.state_input["decided"]:
                    self.progress.dead_lettered = self._ledger.dead_lettered(now.state_input["job_id"])
                self.progress.entered(now.state, now.state_input)
        if now.state == "PredictItems" and now.map_run is not None and now.state_input is not None:
            counts = map_counts(self._stack, now.map_run)
            decided = now.state_input["decided"]
            done = decided + counts.of_items(self.progress.total - decided)
            self.progress.counted_up_to(done, is_first=self._is_first_count)
            self._is_first_count = False
        return ending

    def _summary_of(self, ending: Ending, sleep: Sleep) -> dict[str, Any] | None:
        """The summary that this execution came to; of one that died, written by the execution that closes it."""
        with at_work(self._stack):
            if isinstance(ending.output, dict) and ending.output.get("duplicate"):
                self.job = StackJob(self.job.execution, ending.output["job_id"])
                return None
            # What it planned, and not what it was started for: its items may have been changed in between.
            job_id = job_of(self._stack, self.job.execution) or self.job.job_id
            if job_id is None:
                return None
            self.job = StackJob(self.job.execution, job_id)
            patience_s = 0.0 if ending.status == "SUCCEEDED" else ACCOUNTING_S
            while True:
                summary = summary_of(self._stack, job_id)
                if summary is not None and summary.get("execution") == self.job.execution:
                    return summary
                if patience_s <= 0 or not self._ledger.has_plan(job_id):
                    return None
                patience_s -= EVERY_S
                sleep(EVERY_S)


def _tell_ending(
    job: StackJob, ending: Ending, stack: DeployedStack, console: JobConsole, *, as_json: bool
) -> int:
    """Say how an execution ended that has no summary."""
    again = stack.options.again()
    if as_json:
        told = {"job_id": job.job_id, "execution": job.execution}
        print_document({**told, "status": ending.status, "reason": ending.why or None})
    if ending.status == "SUCCEEDED" and job.job_id is not None:
        console.tell(
            f"The execution ended at once: {job.job_id} is another's already; fanwise watch {job.job_id}{again}",
            "yellow",
        )
        return EXIT_OK
    if ending.status == "SUCCEEDED":
        console.tell("The execution accounted for another one, and is no job itself.", "dim")
        return EXIT_OK
    why = ending.why or f"the execution is {ending.status}"
    console.tell(f"fanwise: the job could not be run: {why}", "red")
    ledger = Ledger(stack.storage, f"s3://{stack.results_bucket}/")
    can_help = can_be_resumed(remedy_of_missing(why))
    if job.job_id is not None and can_help and ledger.has_plan(job.job_id):
        console.tell(
            f"fanwise resume {job.job_id}{stack.options.again_on_stack(stack.name)} goes on with it", "dim"
        )
    return EXIT_FAILED


def tell_summary(summary: dict[str, Any], stack: DeployedStack, *, as_json: bool, quiet: bool) -> int:
    """Print a summary as it was asked for; answers with the exit code that is its status'."""
    examples = examples_on_stack(summary, stack)
    if as_json:
        print_document(summary)
    elif not quiet:
        lines = {**told_lines(summary), **next_lines(summary, stack)}
        print_verdict(for_results(), summary, lines, examples)
    if as_json or quiet:
        say_why_failed(summary, examples)
    return EXIT_OF_STATUS[summary["status"]]


def examples_on_stack(summary: Mapping[str, Any], stack: DeployedStack) -> dict[str, list[Example]]:
    """Some dead letters of each error of a job of the stack."""
    if not summary["items"]["dead_lettered"]:
        return {}
    home = home_of(stack.results_bucket, summary["job_id"])
    return examples_of(lines_of_parts(stack.storage, home, read_parts(stack.storage, home)), summary)


def next_lines(summary: dict[str, Any], stack: DeployedStack) -> dict[str, str]:
    """What to do next with a job that has ended, label → command."""
    job_id, items = summary["job_id"], summary["items"]
    again = stack.options.again()
    lines = {"results": f"fanwise results {job_id}{again} --out DIR"}
    if items["dead_lettered"]:
        lines["failures"] = f"fanwise failures {job_id}{again}"
    return lines | on_stack_lines(summary, stack)


def on_stack_lines(summary: dict[str, Any], stack: DeployedStack) -> dict[str, str]:
    """What can be done about what a job left, on its stack."""
    job_id = summary["job_id"]
    again, on_stack = stack.options.again(), stack.options.again_on_stack(stack.name)
    commands = Commands(
        resume=f"fanwise resume {last_of(summary)['job_id']}{on_stack}",
        replay=f"fanwise replay {job_id}{on_stack}",
        failures=f"what fanwise failures {last_of(summary)['job_id']}{again} --json prints",
        run=f"fanwise submit{again} ITEMS --model MODEL",
        run_mended=f"fanwise submit{again} ITEMS --model MODEL",
    )
    return lines_of(advise(summary), commands)
