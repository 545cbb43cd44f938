"""Price against time: a point for each combination, and the line of those that none beats in both."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from fanwise.records import Runtime
from fanwise_cli import pictures
from fanwise_cli.progress import counted
from fanwise_cli.tuning.combinations import Combination, front_of
from fanwise_cli.tuning.table import usd
from fanwise_cli.tuning.tune import Tuned

if TYPE_CHECKING:
    from fanwise_cli.pictures import Axes

WIDTH, HEIGHT = 9.0, 5.4  # inches
COLOURS: dict[Runtime, str] = {"litert": pictures.BLUE, "tensorflow": pictures.ORANGE}
LEAST_AREA, AREA_A_MB = 30.0, 0.035  # of a point, in square points, by its memory


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
    by_runtime: dict[Runtime, list[Combination]] = defaultdict(list)
    for one in able:
        by_runtime[one.runtime].append(one)
    for runtime, points in by_runtime.items():
        axes.scatter(
            [one.time_s for one in points],
            [one.price_usd for one in points],
            s=[LEAST_AREA + AREA_A_MB * one.memory_mb for one in points],
            facecolors=[COLOURS[runtime] if one.is_measured else "white" for one in points],
            edgecolors=COLOURS[runtime],
            linewidths=1.4,
            alpha=0.9,
            zorder=2,
            label=runtime,
        )
    _label(axes, able, tuned.best)
    model = tuned.model
    axes.set_title(f"{model['name']}@{model['version']}: {counted(tuned.work.items, 'item')} by {tuned.by}")
    axes.set_xlabel("time of the job, s" + (" (points grow with memory; hollow: reckoned, not tried)"))
    axes.set_ylabel("price of the job")
    axes.yaxis.set_major_formatter(lambda value, _: usd(max(value, 0.0)))
    axes.margins(0.12)
    axes.legend(loc="best")
    pictures.save(figure, path)


def _label(axes: "Axes", able: list[Combination], best: Combination) -> None:
    """Name the best in full, and of each setting its cheapest."""
    cheapest: dict[tuple[Runtime, int], Combination] = {}
    for one in sorted(able, key=lambda one: (one.price_usd, one.time_s)):
        cheapest.setdefault((one.runtime, one.memory_mb), one)
    cheapest[(best.runtime, best.memory_mb)] = best
    for one in cheapest.values():
        is_best = one == best
        name = f"{one.memory_mb:,} MB" + (f", batch {one.batch_size:,}: best" if is_best else "")
        axes.annotate(
            name,
            (one.time_s, one.price_usd),
            xytext=(9, -13 if is_best else 8),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold" if is_best else "normal",
            color=pictures.INK if is_best else pictures.PALE_INK,
        )
    axes.scatter(
        [best.time_s],
        [best.price_usd],
        s=LEAST_AREA + AREA_A_MB * best.memory_mb + 160,
        facecolors="none",
        edgecolors=pictures.INK,
        linewidths=1.4,
        zorder=3,
    )
