"""`python -m benchmarks`: measures, prints the tables, and keeps the run. Bars that are missed are no failure."""

import os
import signal
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

import fanwise
from benchmarks.errors import BenchmarkError
from benchmarks.interpreter import run_interpreter
from benchmarks.machine import kind_of, this_machine
from benchmarks.mobilenet import MobilenetBenchmark
from benchmarks.report import write_report
from benchmarks.results import Results, write_results
from benchmarks.tables import for_terminal, tables_of

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORK = HERE / "work"  # git-ignored: the workload, caches, and runs that are not kept
PAGE = HERE.parent / "docs/benchmarks.md"

IMAGES = 2_000
REPETITIONS = 5
QUICK_ITEMS = 300
EXIT_INTERRUPTED = 130

app = typer.Typer(help="fanwise, measured.", add_completion=False, pretty_exceptions_enable=False)


class Part(StrEnum):
    """What can be measured by itself."""

    MOBILENET = "mobilenet"
    INTERPRETER = "interpreter"


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    only: Annotated[Part | None, typer.Option(help="Measure this alone; the run is not kept.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"One repetition, {QUICK_ITEMS} items; the run is not kept.")
    ] = False,
    repetitions: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = REPETITIONS,
) -> None:
    """Measure everything, print it and keep it in benchmarks/results."""
    if context.invoked_subcommand is not None:
        return
    console = Console(stderr=True)
    try:
        results = _measured(only, quick, 1 if quick else repetitions, console)
    except KeyboardInterrupt:
        console.print("interrupted; nothing was kept", style="yellow")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for table in tables_of(results):
        Console().print(for_terminal(table))
    kept = only is None and not quick and repetitions >= REPETITIONS
    path = write_results(results, RESULTS if kept else WORK / "results", kind_of(results.machine))
    _say(console, f"{'kept' if kept else 'written, not kept'}: {path.relative_to(HERE.parent)}")


def _measured(only: Part | None, quick: bool, repetitions: int, console: Console) -> Results:
    load_before = round(os.getloadavg()[0], 2)
    mobilenet = interpreter = None
    if only in (None, Part.MOBILENET):
        benchmark = MobilenetBenchmark(WORK, images=IMAGES, items=QUICK_ITEMS if quick else IMAGES)
        mobilenet = benchmark.run(repetitions, lambda line: _say(console, f"mobilenet    {line}"))
    if only in (None, Part.INTERPRETER):
        interpreter = run_interpreter(
            repetitions, lambda line: _say(console, f"interpreter  {line}"), quick=quick
        )
    return Results(
        fanwise=fanwise.__version__,
        date=datetime.now(UTC).date().isoformat(),
        machine=this_machine(),
        quick=quick,
        load_before=load_before,
        mobilenet=mobilenet,
        interpreter=interpreter,
    )


def _say(console: Console, line: str) -> None:
    console.print(line, style="dim", highlight=False, soft_wrap=True)


@app.command()
def report() -> None:
    """Write the newest kept runs into docs/benchmarks.md."""
    runs = write_report(RESULTS, PAGE)
    Console(stderr=True).print(f"docs/benchmarks.md: {runs} kind{'s' if runs != 1 else ''} of machine")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command. What was measured decides nothing: the exit code is 0 whether the bars are met or not."""
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: nothing that was started stays behind
    try:
        app()
    except BenchmarkError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
