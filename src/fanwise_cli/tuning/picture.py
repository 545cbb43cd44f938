"""Price against time: a point for each combination, and the line of those that none beats in both."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fanwise.records import Runtime
from fanwise_cli import pictures
from fanwise_cli.progress import counted
from fanwise_cli.summary import lasted
from fanwise_cli.tuning.combinations import Combination, front_of
from fanwise_cli.tuning.table import usd
from fanwise_cli.tuning.tune import Tuned

if TYPE_CHECKING:
    from fanwise_cli.pictures import Axes

WIDTH, HEIGHT = 9.0, 5.4  # inches
COLOURS: dict[Runtime, str] = {"litert": pictures.BLUE, "tensorflow": pictures.ORANGE}
LEAST_AREA, AREA_A_MB = 30.0, 0.025  # of a point, in square points, by its memory
FEW, MANY = (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)  # ticks of a decade
ENOUGH_TICKS = 4
MARGIN = 1.15  # beyond the outermost points, as a factor


def draw(tuned: Tuned, path: Path) -> None:
    """Write the picture. Raises `InputError` where the file cannot be one."""
    figure = pictures.figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    able = [one for one in tuned.combinations if one.failed is None]
    front = front_of(able)
    axes.plot(
        [one.time_s for one in front],
        [one.price_usd for one in front],
        color=pictures.PALE_INK,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        zorder=1,
        label="none is both faster and cheaper",
    )
    for runtime in dict.fromkeys(one.runtime for one in able):
        _points(axes, runtime, [one for one in able if one.runtime == runtime])
    _name_settings(axes, able)
    _mark(axes, tuned.best)
    _scale(axes, able)
    model = tuned.model
    axes.set_title(f"{counted(tuned.work.items, 'item')} by {model['name']}@{model['version']}")
    axes.set_xlabel("time of the job (points grow with memory; hollow ones were reckoned, not tried)")
    axes.set_ylabel("price of the job")
    axes.legend(loc="best")
    pictures.save(figure, path)


def _points(axes: "Axes", runtime: Runtime, points: Sequence[Combination]) -> None:
    colour = COLOURS[runtime]
    axes.scatter(
        [one.time_s for one in points],
        [one.price_usd for one in points],
        s=[_area(one) for one in points],
        facecolors=[colour if one.is_measured else "white" for one in points],
        edgecolors=colour,
        linewidths=1.4,
        zorder=3,
        label=runtime,
    )
    for memory_mb in {one.memory_mb for one in points}:  # the batch sizes of a setting
        of_setting = [one for one in points if one.memory_mb == memory_mb]
        axes.plot(
            [one.time_s for one in of_setting],
            [one.price_usd for one in of_setting],
            color=colour,
            linewidth=0.8,
            alpha=0.5,
            zorder=2,
        )


def _area(one: Combination) -> float:
    return LEAST_AREA + AREA_A_MB * one.memory_mb


def _name_settings(axes: "Axes", able: Sequence[Combination]) -> None:
    """Beside the dearest point of each setting: there more memory costs more, so they lie apart."""
    dearest: dict[tuple[Runtime, int], Combination] = {}
    for one in sorted(able, key=lambda one: one.price_usd, reverse=True):
        dearest.setdefault((one.runtime, one.memory_mb), one)
    for one in dearest.values():
        axes.annotate(
            f"{one.memory_mb:,} MB, batch {one.batch_size:,}",
            (one.time_s, one.price_usd),
            xytext=(10, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=pictures.PALE_INK,
        )


def _mark(axes: "Axes", best: Combination) -> None:
    axes.scatter(
        [best.time_s],
        [best.price_usd],
        s=_area(best) + 160,
        facecolors="none",
        edgecolors=pictures.INK,
        linewidths=1.4,
        zorder=4,
    )
    axes.annotate(
        f"best: {best.memory_mb:,} MB, batch {best.batch_size:,}",
        (best.time_s, best.price_usd),
        xytext=(4, -20),
        textcoords="offset points",
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        zorder=5,
    )


def _scale(axes: "Axes", able: Sequence[Combination]) -> None:
    """Both by factors: twice as dear is as far everywhere."""
    times, prices = [one.time_s for one in able], [one.price_usd for one in able]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(times) / MARGIN, max(times) * MARGIN**2)  # names stand to the right of points
    axes.set_ylim(min(prices) / MARGIN**2, max(prices) * MARGIN)
    axes.set_xticks(_ticks(*axes.get_xlim()), minor=False)
    axes.set_yticks(_ticks(*axes.get_ylim()), minor=False)
    axes.set_xticks([], minor=True)
    axes.set_yticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: lasted(value))
    axes.yaxis.set_major_formatter(lambda value, _: usd(value))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, neither too few to read by nor too many."""
    for steps in (FEW, MANY):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps]
        within = [value for value in found if low <= value <= high]
        if len(within) >= ENOUGH_TICKS:
            break
    return within
