"""`fanwise failures`: the dead letters of a job, counted by error and shown, or all of them as an items file."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.table import Table
from rich.text import Text

from fanwise.records import Part
from fanwise.replays import read_summary
from fanwise.storage import Storage
from fanwise_cli.collecting import pieces
from fanwise_cli.examples import examples_of, lines_of_parts, print_examples
from fanwise_cli.progress import WIDE_COLUMNS
from fanwise_cli.terminal import for_results, print_json_lines
from fanwise_cli.verification.ledger import FAILURES, read_statements


def show_failures(name: str, storage: Storage, home: str, *, limit: int, as_json: bool) -> None:
    """Print the dead letters of the job at `home`: by error, then the first ones; as JSON all of them."""
    statements = read_statements(storage, home)
    parts = [part for part in statements.parts if part.key.startswith(FAILURES)]
    if as_json:
        print_json_lines(_lines(storage, home, parts))
        return
    console, total = for_results(), sum(part.count for part in parts)
    if not total:
        so_far = "" if statements.is_finished else " so far"
        console.tell(f"{name}: no dead letters{so_far}")
        return
    summary = read_summary(storage, home) if statements.is_finished else None
    if summary is not None and total > limit:  # else the table has them all
        print_examples(
            console, examples_of(lines_of_parts(storage, home, parts), summary), summary["failures"]
        )
    elif summary is not None:
        for error, number in summary["failures"].items():
            console.tell(Text.assemble((f"{number:>9,}", "red"), f"  {error}"))
    first = [json.loads(line) for line in islice(_lines(storage, home, parts), limit)]
    console.print(_table(first, is_wide=console.width >= WIDE_COLUMNS))
    if total > len(first):
        console.tell(
            f"the first {len(first):,} of {total:,}; --limit shows more, --json all of them", "dim", wrap=True
        )


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
