"""What people read of a comparison: a table, whether the bars are met, and a chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.comparison import SCORE_TOLERANCE, Comparison, Measured
from benchmarks.rates import median_ratio, spread
from benchmarks.tables import Bar, Chart, Table, verdict


@dataclass(frozen=True, slots=True)
class Ratio:
    """That ours is so many times as fast, steady, as the fastest of others; met at `least`, if that is a bar."""

    ours: str
    others: tuple[str, ...]
    least: float | None = None


def table_of(comparison: Comparison, title: str, ratios: Sequence[Ratio]) -> Table:
    """One row a contender; below it the ratios, and what is to be known."""
    most = max(len(m.runs) for m in comparison.measured)
    return Table(
        title=title,
        columns=(
            f"median of {most}",
            "steady, items/s",
            "from … to",
            "whole, items/s",
            "processor, ms/item",
            "peak MB",
            "largest difference",
        ),
        rows=tuple(_row(m, comparison.items, most) for m in comparison.measured),
        notes=(*(_ratio_note(comparison, ratio) for ratio in ratios), *_notes(comparison)),
    )


def chart_of(comparison: Comparison, name: str, title: str) -> Chart:
    """Steady rates as bars."""
    bars = tuple(Bar(m.name, _steady(m), ours=m.kind == "fanwise") for m in comparison.measured)
    return Chart(name=name, title=title, unit="items/s, steady", bars=bars)


def steady_ratios(ours: Measured, theirs: Measured) -> tuple[list[float], list[float]]:
    """The steady rates of both, of the repetitions that both have."""
    mine, its = ({run.repetition: run.steady_items_per_s for run in m.runs} for m in (ours, theirs))
    both = sorted(mine.keys() & its.keys())
    return [mine[r] for r in both], [its[r] for r in both]


def _row(measured: Measured, items: int, most: int) -> tuple[str, ...]:
    steady = [run.steady_items_per_s for run in measured.runs]
    times = "" if len(measured.runs) == most else f" (of {len(measured.runs)})"
    return (
        f"{measured.name}{times}",
        _rate(median(steady)),
        f"{_rate(min(steady))} … {_rate(max(steady))}" if len(steady) > 1 else "",
        _rate(median(run.whole_items_per_s for run in measured.runs)),
        f"{median(run.processor_s for run in measured.runs) * 1000 / items:.3g}",
        f"{measured.peak_memory_mb:,.0f}" if measured.peak_memory_mb else "",
        f"{measured.agreement.largest_difference:.1e}",
    )


def _rate(items_per_s: float) -> str:
    return f"{items_per_s:,.0f}" if items_per_s >= 1000 else f"{items_per_s:.1f}"


def _steady(measured: Measured) -> float:
    return median(run.steady_items_per_s for run in measured.runs)


def _ratio_note(comparison: Comparison, ratio: Ratio) -> str:
    by_name = {m.name: m for m in comparison.measured}
    others = [by_name[name] for name in ratio.others if name in by_name]
    if ratio.ours not in by_name or not others:
        return f"{ratio.ours} over {' or '.join(ratio.others)}: not measured."
    best = max(others, key=_steady)
    ours, theirs = steady_ratios(by_name[ratio.ours], best)
    value = median_ratio(ours, theirs)
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    said = f"{ratio.ours} over {best.name}: {value:.2f} ({min(ratios):.2f} … {max(ratios):.2f})"
    if ratio.least is None:
        return f"{said}."
    return f"{said}, ≥ {ratio.least:.2f} {verdict(met=value >= ratio.least)}."


def _notes(comparison: Comparison) -> list[str]:
    reference = comparison.measured[0].name
    compared = sum(m.agreement.compared for m in comparison.measured)
    unequal = [m for m in comparison.measured if m.agreement.other_label or m.agreement.other_score]
    notes = [
        f"NOT EQUAL to {reference}: of {m.agreement.compared:,} predictions of {m.name},"
        f" {m.agreement.other_label:,} have another label and {m.agreement.other_score:,} a score off by more"
        f" than {SCORE_TOLERANCE:g}."
        for m in unequal
    ]
    if not unequal:
        notes.append(
            f"All {compared:,} predictions have the label of {reference}"
            f" and, within {SCORE_TOLERANCE:g}, its scores."
        )
    widest = max(comparison.measured, key=lambda m: spread([r.steady_items_per_s for r in m.runs]))
    share = spread([r.steady_items_per_s for r in widest.runs])
    notes.append(
        f"Widest spread of a steady rate (largest less smallest, over median): {share:.0%} ({widest.name})."
    )
    notes += [f"Could not be run: {name} ({why})." for name, why in comparison.absent.items()]
    return notes
