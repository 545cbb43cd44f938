"""Charts as pictures, in the style of fanwise's own (`fanwise_cli.pictures`)."""

from pathlib import Path

from benchmarks.tables import Chart
from fanwise_cli import pictures

WIDTH_IN, BAR_IN, FRAME_IN = 8.0, 0.36, 1.2


def draw(chart: Chart, path: Path) -> None:
    """Write the chart as an SVG: bars from the top down, each with its value, those of fanwise in blue."""
    figure = pictures.figure(WIDTH_IN, FRAME_IN + BAR_IN * len(chart.bars))
    axes = figure.add_subplot()
    bars = axes.barh(
        [bar.label for bar in chart.bars],
        [bar.value for bar in chart.bars],
        color=[pictures.BLUE if bar.ours else pictures.GRID for bar in chart.bars],
    )
    axes.bar_label(bars, [short(bar.value) for bar in chart.bars], padding=4, color=pictures.INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    axes.set_xlabel(chart.unit)
    axes.set_title(chart.title)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures.save(figure, path)


def short(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
