"""`python -m benchmarks`: measures, prints the tables, and keeps the run. Bars that are missed are no failure."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer
from rich.console import Console

import fanwise
from benchmarks import peers
from benchmarks.errors import BenchmarkError
from benchmarks.machine import kind_of, this_machine
from benchmarks.part import Run
from benchmarks.parts import PARTS
from benchmarks.report import write_report
from benchmarks.results import Results, write_results
from benchmarks.tables import for_terminal

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORK = HERE / "work"  # git-ignored: the workload, caches, and runs that are not kept
PAGE = HERE.parent / "docs/benchmarks.md"

REPETITIONS = 5
EXIT_INTERRUPTED = 130

app = typer.Typer(help="fanwise, measured.", add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Measure this part alone ({', '.join(PARTS)}); may be repeated."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One repetition, fewer items; the run is not kept.")
    ] = False,
    repetitions: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = REPETITIONS,
) -> None:
    """Measure everything, print it and keep it in benchmarks/results."""
    if context.invoked_subcommand is not None:
        return
    for name in only or ():
        if name not in PARTS:
            raise typer.BadParameter(
                f"{name!r} is no part; there are {', '.join(PARTS)}", param_hint="--only"
            )
    console = Console(stderr=True)
    names = [name for name in PARTS if not only or name in only]
    kept = not quick and repetitions >= REPETITIONS
    folder = RESULTS if kept else WORK / "results"
    measured: dict[str, msgspec.Struct] = {}
    try:
        for results in _measured(names, measured, quick, 1 if quick else repetitions, console):
            path = write_results(results, folder, kind_of(results.machine))
            _say(console, f"{'kept' if kept else 'written, not kept'}: {path.relative_to(HERE.parent)}")
            last = [*results.parts][-1]
            for table in PARTS[last].tables(measured[last]):
                Console().print(for_terminal(table))
    except KeyboardInterrupt:
        console.print("interrupted; what was measured before stands", style="yellow")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if len(measured) < len(names):
        raise typer.Exit(1)


def _measured(
    names: list[str], measured: dict[str, msgspec.Struct], quick: bool, repetitions: int, console: Console
) -> Iterator[Results]:
    """What these parts leave, after each of them; one that fails is said and left out."""
    load_before = round(os.getloadavg()[0], 2)
    for name in names:

        def say(line: str, name: str = name) -> None:
            _say(console, f"{name:<12} {line}")

        run = Run(work=WORK, repetitions=repetitions, quick=quick, say=say, measured=measured)
        try:
            measured[name] = PARTS[name].measure(run)
        except BenchmarkError as error:
            say(f"NOT MEASURED: {error}")
            continue
        yield Results(
            fanwise=fanwise.__version__,
            date=datetime.now(UTC).date().isoformat(),
            machine=this_machine(),
            quick=quick,
            load_before=load_before,
            parts={name: msgspec.to_builtins(left) for name, left in measured.items()},
            versions=peers.versions(),
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
