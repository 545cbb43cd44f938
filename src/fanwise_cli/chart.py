"""Two quantities over time, one on the other, in characters: a chart for a terminal, plain where it is piped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from fanwise_cli.terminal import JobConsole

HEIGHT = 10  # lines
MAX_WIDTH = 100
MIN_COLUMNS = 20  # narrower, and there is nothing to see
_STYLES = ("blue", "yellow", "dim")


@dataclass(frozen=True)
class _Marks:
    """What a chart is drawn with. `partial` are the lower parts of a cell, least first."""

    full: str
    partial: str
    upper: str
    limit: str
    axis: str
    tick: str
    corner: str
    base: str


_BLOCKS = _Marks("█", "▁▂▃▄▅▆▇", "░", "┄", "│", "┤", "└", "─")
_ASCII = _Marks("#", "", ".", "-", "|", "+", "+", "-")


@dataclass(frozen=True)
class Series:
    """What is drawn from the bottom (`lower`) and on top of it (`upper`): a value for each equal step of time."""

    lower: Sequence[float]
    upper: Sequence[float]
    lasted_s: float


def chart(
    console: JobConsole, series: Series, limits: Sequence[float], labels: tuple[str, str, str]
) -> list[Text]:
    """The lines of a chart as wide as the console. `limits` are drawn as far as what is drawn comes near them.

    `labels` say what the two are, and what a limit is.
    """
    marks = _BLOCKS if console.encoding.startswith("utf") else _ASCII
    both = (low + up for low, up in zip(series.lower, series.upper, strict=True))
    margin = len(f"{round(max([*both, *limits], default=0)):,}") + 1
    columns = min(console.width, MAX_WIDTH) - margin - 2
    if columns < MIN_COLUMNS:
        return []
    lower, upper = _means(series.lower, columns), _means(series.upper, columns)
    most = max(low + up for low, up in zip(lower, upper, strict=True)) or 1
    near = [limit for limit in limits if most / 4 <= limit <= most * 1.5]
    top = max([most, *near])
    ticks = _ticks(top, near)
    limit_rows = {_row(limit, top) for limit in near}
    lines = []
    for row in reversed(range(HEIGHT)):
        label = f"{round(ticks[row]):,}" if row in ticks else ""
        line = Text(f"{label:>{margin}}{marks.tick if label else marks.axis}", "dim")
        for low, up in zip(lower, upper, strict=True):
            character, style = _cell(low / top * HEIGHT - row, (low + up) / top * HEIGHT - row, marks)
            if character == " " and row in limit_rows:
                character, style = marks.limit, _STYLES[2]
            line.append(character, style)
        lines.append(line)
    lines.append(Text(f"{0:>{margin}}" + marks.corner + marks.base * columns, "dim"))
    lines.append(Text(_times(series.lasted_s, columns).rjust(margin + 1 + columns), "dim"))
    shown = [(marks.full, labels[0], _STYLES[0])]
    shown += [(marks.upper, labels[1], _STYLES[1])] if any(series.upper) else []
    shown += [(marks.limit, labels[2], _STYLES[2])] if near else []
    legend = Text(" " * (margin + 1))
    for mark, label, style in shown:
        legend.append(mark, style).append(f" {label}   ")
    legend.rstrip()
    return [*lines, legend]


def _ticks(top: float, limits: Sequence[float]) -> dict[int, float]:
    """The rows of a chart that are labelled, each with the value that fills it."""
    ticks = {HEIGHT // 2 - 1: _rough(top / 2), HEIGHT - 1: top}
    for limit in limits:
        row = _row(limit, top)
        ticks = {known: value for known, value in ticks.items() if abs(known - row) > 1} | {row: limit}
    return ticks


def _rough(value: float) -> float:
    """Two digits of a value: a row stands for a tenth of the chart."""
    return float(f"{value:.2g}")


def _row(value: float, top: float) -> int:
    """The row that the top of a bar of so much is in."""
    return max(0, min(HEIGHT - 1, math.ceil(value / top * HEIGHT) - 1))


def _cell(lower: float, both: float, marks: _Marks) -> tuple[str, str]:
    """A cell that the lower bar fills so far, and both together so far; more than 1 is beyond it."""
    if lower >= 1:
        return marks.full, _STYLES[0]
    if both > lower and both - max(lower, 0) >= max(lower, 0) and both >= 0.5:
        return marks.upper, _STYLES[1]
    if lower <= 0:
        return " ", ""
    if not marks.partial:
        return (marks.full if lower >= 0.5 else " "), _STYLES[0]
    return marks.partial[max(0, min(6, round(lower * 8) - 1))], _STYLES[0]


def _means(values: Sequence[float], columns: int) -> list[float]:
    """As many values as there are columns, each the mean of its share."""
    if not values:
        return [0.0] * columns
    found = []
    for column in range(columns):
        first = column * len(values) // columns
        share = values[first : max(first + 1, (column + 1) * len(values) // columns)]
        found.append(sum(share) / len(share))
    return found


def _times(lasted_s: float, columns: int) -> str:
    """The line below the axis: moments at its quarters, as many as it has room for."""
    parts = 4 if columns >= 48 else 2
    line = [" "] * columns
    for part in range(parts + 1):
        text = moment(lasted_s * part / parts, lasted_s)
        middle = round((columns - 1) * part / parts)
        at = max(0, min(columns - len(text), middle - len(text) // 2))
        line[at : at + len(text)] = text
    return "".join(line)


def moment(at_s: float, of_s: float) -> str:
    """A moment of something that takes so long: `12 s`, `2:05`, `1:02:05`; the first is `0`."""
    if at_s == 0:
        return "0"
    if of_s < 120:
        return f"{at_s:.0f} s" if of_s >= 10 else f"{at_s:.1f} s"
    hours, seconds = divmod(round(at_s), 3600)
    minutes, seconds = divmod(seconds, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
