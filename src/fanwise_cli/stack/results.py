"""`fanwise results` and `fanwise failures`: what a job of the stack left, brought here, or shown."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fanwise.errors import InputError, JobError
from fanwise.records import Part
from fanwise.storage import Storage
from fanwise_cli.collecting import RESULTS, collect, pieces, read_parts
from fanwise_cli.exit_codes import EXIT_OF_STATUS, EXIT_OK
from fanwise_cli.home import INNER
from fanwise_cli.progress import WIDE_COLUMNS, counted
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.jobs import find_planned, summary_of
from fanwise_cli.stack.transfers import BytesProgress
from fanwise_cli.stack.watch import on_stack_lines
from fanwise_cli.summary import print_verdict, told_lines
from fanwise_cli.terminal import JobConsole, for_results, print_document, print_json_lines
from fanwise_cli.verification.ledger import FAILURES, read_statements


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
    _check_out(out, job.name)
    total = sum(part.size_bytes for part in parts)
    with BytesProgress(console, f"fetching {counted(len(parts), 'part')}", total, quiet=quiet) as progress:
        summary = collect(stack.storage, home, out, parts=parts, arrived=progress.arrived)
    if as_json:
        print_document(summary)
    elif not quiet:
        lines = {**told_lines(summary), "results": str(out / "predictions.jsonl")}
        if summary["items"]["dead_lettered"]:
            lines["failures"] = f"{out / 'failures.jsonl'}, itself an items file"
        lines["summary"] = str(out / "summary.json")
        print_verdict(for_results(), summary, lines | on_stack_lines(summary, stack))
    return EXIT_OF_STATUS[summary["status"]]


def _check_out(out: Path, job_id: str) -> None:
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


def show_failures(given: str, stack: DeployedStack, *, limit: int, as_json: bool) -> int:
    """Print a job's dead letters: by error, then the first ones; as JSON all of them. Raises `InputError`."""
    job, home = find_planned(stack, given)
    statements = read_statements(stack.storage, home)
    parts = [part for part in statements.parts if part.key.startswith(FAILURES)]
    if as_json:
        print_json_lines(_lines(stack.storage, home, parts))
        return EXIT_OK
    console, total = for_results(), sum(part.count for part in parts)
    if not total:
        so_far = "" if statements.is_finished else " so far"
        console.tell(f"{job.name}: no dead letters{so_far}")
        return EXIT_OK
    summary = summary_of(stack, job.name) if statements.is_finished else None
    for error, number in (summary or {}).get("failures", {}).items():
        console.tell(Text.assemble((f"{number:>9,}", "red"), f"  {error}"))
    first = [json.loads(line) for line in islice(_lines(stack.storage, home, parts), limit)]
    console.print(_table(first, is_wide=console.width >= WIDE_COLUMNS))
    if total > len(first):
        console.tell(
            f"the first {len(first):,} of {total:,}; --limit shows more, --json all of them", "dim", wrap=True
        )
    return EXIT_OK


def _table(letters: list[dict[str, Any]], *, is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("index", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("id", overflow="fold")
    table.add_column("error", no_wrap=True, style="red")
    table.add_column("message", overflow="fold")
    for letter in letters:
        failure = letter["failure"]
        cells = [Text(f"{letter['index']}")]
        cells += [Text(str(letter.get("id", "")))] if is_wide else []
        table.add_row(*cells, Text(failure["error"]), Text(" ".join(failure["message"].split())))
    return table


def _lines(storage: Storage, home: str, parts: list[Part]) -> Iterator[bytes]:
    """The lines of parts, with their line ends."""
    rest = b""
    for piece in pieces(storage, home, parts):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
