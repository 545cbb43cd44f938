"""What people read of a run: two tables and whether the bars are met; on a terminal and in Markdown alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table as TerminalTable

from benchmarks.interpreter import REAL, VIRTUAL
from benchmarks.mobilenet import SCORE_TOLERANCE
from benchmarks.rates import median_ratio, spread
from benchmarks.results import Agreement, Interpreter, MapRunMeasure, Mobilenet, Results, Throughput

STEADY_BAR = 0.90  # fanwise's items/s over the loop's
WHOLE_BAR = 0.80
PROCESSOR_BAR_MS = 2.0  # a child's, on one core
MEMORY_BAR_MB = 1024.0


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first column names its row. `notes` are sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables_of(results: Results) -> list[Table]:
    """The tables of a run, of the parts that it has."""
    tables = []
    if results.mobilenet:
        tables.append(_mobilenet_table(results.mobilenet))
    if results.interpreter:
        tables.append(_interpreter_table(results.interpreter))
    return tables


def verdict(*, met: bool) -> str:
    """How a bar came out."""
    return "met" if met else "NOT MET"


def _mobilenet_table(measured: Mobilenet) -> Table:
    rows = [
        _ratio_row(
            name,
            bar,
            [getattr(t, field) for t in measured.loop],
            [getattr(t, field) for t in measured.fanwise],
        )
        for name, field, bar in (
            ("steady, items/s", "steady_items_per_s", STEADY_BAR),
            ("whole, items/s", "whole_items_per_s", WHOLE_BAR),
        )
    ]
    loop_ms, fanwise_ms = (_processor_ms(runs, measured.items) for runs in (measured.loop, measured.fanwise))
    rows.append(
        (
            "processor, ms/item",
            f"{median(loop_ms):.1f}",
            f"{median(fanwise_ms):.1f}",
            *_spread_ratio(fanwise_ms, loop_ms),
            "",
        )
    )
    return Table(
        title=f"fanwise run and the loop by hand: {measured.items:,} JPEGs, MobileNetV2 224, TensorFlow",
        columns=(f"median of {len(measured.loop)}", "loop", "fanwise", "ratio", "from … to", "bar"),
        rows=tuple(rows),
        notes=(
            f"{measured.invocations} invocations, {measured.cold_starts} cold starts;"
            f" the bundle's model is {'frozen' if measured.frozen else 'NOT frozen'}."
            f" The first run ever, which also prepares the model's bundle: {measured.first_run_s:.1f} s.",
            _agreement_note(measured.agreement),
            f"Spread of the steady rate, largest less smallest over median:"
            f" loop {spread([t.steady_items_per_s for t in measured.loop]):.0%},"
            f" fanwise {spread([t.steady_items_per_s for t in measured.fanwise]):.0%}.",
        ),
    )


def _ratio_row(name: str, bar: float, loop: Sequence[float], fanwise: Sequence[float]) -> tuple[str, ...]:
    ratio = median_ratio(fanwise, loop)
    return (
        name,
        f"{median(loop):.1f}",
        f"{median(fanwise):.1f}",
        *_spread_ratio(fanwise, loop),
        f"≥ {bar:.2f} {verdict(met=ratio >= bar)}",
    )


def _spread_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str]:
    """The median of the ratios, and the smallest and the largest."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return f"{median_ratio(ours, theirs):.2f}", f"{min(ratios):.2f} … {max(ratios):.2f}"


def _processor_ms(runs: Iterable[Throughput], items: int) -> list[float]:
    return [run.processor_s * 1000 / items for run in runs]


def _agreement_note(agreement: Agreement) -> str:
    compared = f"{agreement.compared:,} predictions"
    largest = f"largest difference of a score {agreement.largest_difference:.1e}"
    if not agreement.other_label and not agreement.other_score:
        return (
            f"All {compared} have the loop's label and, within {SCORE_TOLERANCE:g}, its scores ({largest})."
        )
    return (
        f"NOT EQUAL to the loop: of {compared}, {agreement.other_label:,} have another label and"
        f" {agreement.other_score:,} a score off by more than {SCORE_TOLERANCE:g} ({largest})."
    )


def _interpreter_table(measured: Interpreter) -> Table:
    both = (*measured.virtual, *measured.real)
    processor_ms = max(
        median(m.processor_ms_per_child for m in part) for part in (measured.virtual, measured.real)
    )
    memory_mb = max(m.peak_memory_mb for m in both)
    most_per_s = measured.real[0].max_concurrency / REAL.batch_s
    pinned = all(m.pinned for m in both)
    return Table(
        title="The interpreter: the shipped definition, stub functions, "
        + ("one core" if pinned else "not held to one core (this system cannot)"),
        columns=(
            f"median of {len(measured.virtual)}",
            "children",
            "most at once",
            "mean",
            "children/s",
            "processor ms",
            "peak MB",
        ),
        rows=(
            _map_run_row(f"virtual, {VIRTUAL.batch_s:g} s", measured.virtual),
            _map_run_row(f"real, {REAL.batch_s:g} s", measured.real),
        ),
        notes=(
            f"Real time allows at most {most_per_s:,.0f} children/s, whatever they cost.",
            f"Processor time a child: < {PROCESSOR_BAR_MS:g} ms {verdict(met=processor_ms < PROCESSOR_BAR_MS)}."
            f" Memory: < {MEMORY_BAR_MB:g} MB {verdict(met=memory_mb < MEMORY_BAR_MB)}.",
        ),
    )


def _map_run_row(name: str, measures: Sequence[MapRunMeasure]) -> tuple[str, ...]:
    return (
        name,
        f"{measures[0].children:,}",
        f"{max(m.most_in_flight for m in measures):,}",
        f"{median(m.mean_in_flight for m in measures):,.0f}",
        f"{median(m.children_per_s for m in measures):,.0f}",
        f"{median(m.processor_ms_per_child for m in measures):.2f}",
        f"{max(m.peak_memory_mb for m in measures):,.0f}",
    )


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
