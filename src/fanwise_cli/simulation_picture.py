"""The picture of a simulation: invocations at once over time, what waits after a 429, and the limits of both."""

import math
from typing import TYPE_CHECKING

from fanwise.reckoning.queueing import RAMP_ENVIRONMENTS, RAMP_S
from fanwise_cli.chart import moment
from fanwise_cli.pictures import BLUE, GREEN, INK, ORANGE, PALE_INK, RED, figure
from fanwise_cli.progress import counted
from fanwise_cli.summary import dollars, lasted

if TYPE_CHECKING:
    from fanwise_cli.pictures import Axes, Figure
    from fanwise_cli.simulating import Simulated

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
_MOST_TICKS = 9
_MOST_ROUNDS = 12  # that are marked
_NEAR = 1.6  # a limit that is so many times beyond the highest curve is left out: it would flatten it


def picture_of(simulated: "Simulated") -> "Figure":
    """Draw it. Times are the job's own, from its start."""
    told = simulated.simulation
    drawn = figure(9, 5)
    axes = drawn.subplots()
    times = [point.t_s for point in told.curve] + [told.duration_s]
    running = [point.running for point in told.curve] + [0]
    waiting = [point.waiting for point in told.curve] + [0]
    axes.fill_between(times, running, step="post", color=BLUE, alpha=0.22, linewidth=0)
    axes.step(times, running, where="post", color=BLUE, label="invocations running")
    if any(waiting):
        axes.fill_between(times, waiting, step="post", color=ORANGE, alpha=0.15, linewidth=0)
        axes.step(
            times, waiting, where="post", color=ORANGE, linewidth=1.3, label="children waiting after a 429"
        )
    most = max(*running, *waiting, 1)
    highest = _draw_limits(axes, simulated, most)
    for number, one in list(enumerate(told.rounds, 1))[1:_MOST_ROUNDS]:
        axes.axvline(one.began_s, color=PALE_INK, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            f"round {number}",
            (one.began_s, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            color=PALE_INK,
            fontsize=8,
            ha="center",
            va="bottom",
        )
    axes.set_xlim(0, told.duration_s or 1)
    axes.set_ylim(0, highest * 1.12)
    axes.set_ylabel("at once")
    axes.set_xlabel("time since the job's start")
    _label(axes, told.duration_s)
    axes.set_title(_headline(simulated), pad=18)
    handles, _ = axes.get_legend_handles_labels()
    drawn.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    return drawn


def _headline(simulated: "Simulated") -> str:
    told, model = simulated.simulation, simulated.job.model
    return (
        f"{counted(told.items.total, 'item')} by {model.name}: {lasted(told.duration_s)},"
        f" {dollars(told.cost_usd['total'])}"
    )


def _draw_limits(axes: "Axes", simulated: "Simulated", most: float) -> float:
    """Lines where account, job and ramp stop it, those of them that are near; answers the highest of all."""
    told, scenario = simulated.simulation, simulated.scenario
    account, job = scenario.account_concurrency, scenario.work.max_concurrency
    limits = [(f"account {account:,}", account, RED), (f"max_concurrency {job:,}", job, INK)]
    if account == job:
        limits = [(f"account and max_concurrency {account:,}", account, RED)]
    near = [one for one in limits if one[1] <= most * _NEAR]
    for label, limit, colour in near:
        axes.axhline(limit, color=colour, linewidth=1.1, linestyle=(0, (6, 3)))
        axes.annotate(
            label,
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            ha="right",
            va="bottom",
        )
    if told.rounds and told.peak_concurrency > RAMP_ENVIRONMENTS:
        began_s, steps = told.rounds[0].began_s, math.ceil(most / RAMP_ENVIRONMENTS)
        times = [began_s + step * RAMP_S for step in range(steps + 1)]
        allowed = [min(step + 1, steps) * RAMP_ENVIRONMENTS for step in range(steps + 1)]
        axes.step(
            times,
            allowed,
            where="post",
            color=GREEN,
            linewidth=1.1,
            linestyle=(0, (2, 2)),
            label=f"Lambda's ramp: {RAMP_ENVIRONMENTS:,} more each {RAMP_S:.0f} s",
        )
    return max([most, *(limit for _, limit, _ in near)])


def _label(axes: "Axes", lasted_s: float) -> None:
    """Moments of round seconds, minutes or hours below; whole numbers with commas at the left."""
    step_s = next((step for step in _STEPS_S if lasted_s / step <= _MOST_TICKS), lasted_s / _MOST_TICKS)
    if lasted_s > 1:
        axes.set_xticks([tick * step_s for tick in range(int(lasted_s / step_s) + 1)])
    axes.xaxis.set_major_formatter(lambda at_s, _: moment(at_s, lasted_s))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value == int(value) else "")
