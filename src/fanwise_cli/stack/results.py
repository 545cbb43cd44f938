"""`fanwise results` and `fanwise failures`: what a job of the stack left, brought here, or shown."""

import json
from pathlib import Path

from fanwise.errors import InputError, JobError
from fanwise_cli.collecting import RESULTS, collect, read_parts
from fanwise_cli.dead_letters import show_failures
from fanwise_cli.examples import examples_of, lines_of_file
from fanwise_cli.exit_codes import EXIT_OF_STATUS, EXIT_OK
from fanwise_cli.home import INNER
from fanwise_cli.progress import counted
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.jobs import find_planned
from fanwise_cli.stack.transfers import BytesProgress
from fanwise_cli.stack.watch import on_stack_lines
from fanwise_cli.summary import print_verdict, say_why_failed, told_lines
from fanwise_cli.terminal import JobConsole, for_results, print_document


def bring_results(
    given: str, out: Path, stack: DeployedStack, console: JobConsole, *, as_json: bool, quiet: bool
) -> int:
    """Write a job's results into `out`; answers with the job's exit code. Raises `InputError`."""
    job, home = find_planned(stack, given)
    try:
        parts = read_parts(stack.storage, home)
    except FileNotFoundError as error:
        raise JobError(
            f"{job.name}: has not ended, so its results are not whole;"
            f" fanwise watch {job.name}{stack.options.again()} waits for it"
        ) from error
    check_out(out, job.name)
    total = sum(part.size_bytes for part in parts)
    with BytesProgress(console, f"fetching {counted(len(parts), 'part')}", total, quiet=quiet) as progress:
        summary = collect(stack.storage, home, out, parts=parts, arrived=progress.arrived)
    examples = examples_of(lines_of_file(out / "failures.jsonl"), summary)
    if as_json:
        print_document(summary)
    elif not quiet:
        lines = {**told_lines(summary), "results": str(out / "predictions.jsonl")}
        if summary["items"]["dead_lettered"]:
            lines["failures"] = f"{out / 'failures.jsonl'}, itself an items file"
        lines["summary"] = str(out / "summary.json")
        lines |= on_stack_lines(summary, stack)
        print_verdict(for_results(), summary, lines, examples)
    if as_json or quiet:
        say_why_failed(summary, examples)
    return EXIT_OF_STATUS[summary["status"]]


def check_out(out: Path, job_id: str) -> None:
    """Raises `InputError` where `out` holds something else than results of that job."""
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: is a file; choose another --out")
    if (out / INNER).exists():
        raise InputError(f"{out}: is the home of a job that ran on this machine; choose another --out")
    names = {path.name for path in out.iterdir()} - {f".{name}.writing" for name in RESULTS}
    if not names & {*RESULTS}:
        return
    try:
        held = json.loads((out / "summary.json").read_bytes()).get("job_id")
    except (FileNotFoundError, ValueError, AttributeError):
        held = None  # an interrupted one
    if held is not None and held != job_id:
        raise InputError(f"{out}: holds the results of another job ({held}); choose another --out")


def failures_on_stack(given: str, stack: DeployedStack, *, limit: int, as_json: bool) -> int:
    """Print the dead letters of a job of the stack. Raises `InputError`."""
    job, home = find_planned(stack, given)
    show_failures(job.name, stack.storage, home, limit=limit, as_json=as_json)
    return EXIT_OK
