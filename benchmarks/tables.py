"""What people read of a run: tables and charts; on a terminal and in Markdown alike."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table as TerminalTable


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first column names its row. `notes` are sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart; those of fanwise are drawn in another colour."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars under each other, on one axis; `name` is that of the picture's file."""

    name: str
    title: str
    unit: str
    bars: tuple[Bar, ...]


def verdict(*, met: bool) -> str:
    """How a bar came out."""
    return "met" if met else "NOT MET"


def for_terminal(table: Table) -> TerminalTable:
    """The table as rich draws it, its notes below."""
    drawn = TerminalTable(
        title=table.title, title_justify="left", caption="\n".join(table.notes), caption_justify="left"
    )
    for index, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if index else "left")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def as_markdown(table: Table) -> str:
    """The table with its title and notes, ending in a line end."""
    lines = [f"**{table.title}**", "", _line(table.columns)]
    lines.append(_line(("---", *("---:" for _ in table.columns[1:]))))
    lines += [_line(row) for row in table.rows]
    lines += ["", *(f"{note}  " for note in table.notes[:-1]), *table.notes[-1:]]
    return "\n".join(lines).rstrip("\n") + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
