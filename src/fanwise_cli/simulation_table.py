"""A simulation as people read it: beside the closed form, with its curve, and what it all rests on."""

from rich.table import Table
from rich.text import Text

from fanwise_cli.chart import Series, chart, moment
from fanwise_cli.estimate_table import named, rests_on
from fanwise_cli.progress import counted
from fanwise_cli.simulating import Simulated
from fanwise_cli.summary import dollars, lasted, print_lines
from fanwise_cli.terminal import JobConsole

MOST_ROUNDS = 12  # that are listed
_ACCOUNT = {"option": "as said", "account": "as Lambda says", "default": "AWS's default"}


def print_simulation(console: JobConsole, simulated: Simulated) -> None:
    """Print the tables and the curve, and in words what they rest on."""
    told, job, scenario = simulated.simulation, simulated.job, simulated.scenario
    status = [] if told.status == "SUCCEEDED" else [(f"{told.status}  ", "bold red")]
    console.tell(
        Text.assemble(
            *status,
            (counted(told.items.total, "item"), "bold"),
            f" by {named(job.model)}: ",
            (lasted(told.duration_s), "bold"),
            " and ",
            (dollars(told.cost_usd["total"]), "bold"),
        ),
        wrap=True,
    )
    if told.reason:
        console.tell("  " + " ".join(told.reason.split()), "red", wrap=True)
    print_lines(
        console,
        {
            "batches": f"{told.entries:,} of {scenario.work.batch_size:,} items ({job.batch_reason})",
            "Lambda": f"{scenario.size.memory_mb:,} MB, {scenario.work.max_concurrency:,} at most, in an account"
            f" of {scenario.account_concurrency:,} ({_ACCOUNT[simulated.account_from]})",
        },
    )
    console.print(_compared(simulated))
    print_lines(console, _counts(simulated))
    if len(told.rounds) > 1:
        console.print(_rounds(simulated))
    series = Series(
        [point.running for point in told.curve], [point.waiting for point in told.curve], told.duration_s
    )
    limits = [scenario.account_concurrency, scenario.work.max_concurrency]
    for line in chart(console, series, limits, ("running", "waiting after a 429", "limit")):
        console.print(line)
    for text in _rests_on(simulated):
        console.tell(text, "dim", wrap=True)


def _compared(simulated: Simulated) -> Table:
    """The simulation beside the estimate, and what it has more."""
    told, found = simulated.simulation, simulated.estimate
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2))
    table.add_column("")
    for name in ("simulated", "closed form", "more"):
        table.add_column(name, justify="right", no_wrap=True)
    figures = (
        ("time", told.duration_s, found.duration_s.total, lasted),
        ("price", told.cost_usd["total"], found.cost_usd["total"], dollars),
        ("GB-s of Lambda", told.billed_gb_s, found.billed_gb_s, "{:,.1f}".format),
        ("invocations", told.invocations, found.invocations, "{:,}".format),
        ("cold starts", told.cold_starts, found.environments, "{:,}".format),
    )
    for name, ours, theirs, say in figures:
        table.add_row(f"  {name}", say(ours), say(theirs), Text(_more(ours, theirs), "dim"))
    return table


def _more(ours: float, theirs: float) -> str:
    """By how much ours is more: `+12 %`."""
    if not theirs:
        return ""
    percent = 100 * (ours / theirs - 1)
    return f"{percent:+.1f} %" if abs(percent) >= 0.05 else "="


def _counts(simulated: Simulated) -> dict[str, str]:
    """What only a simulation knows."""
    told = simulated.simulation
    after = f"; {told.peak_waiting:,} waited at once after one" if told.peak_waiting else ""
    lines = {
        "most at once": f"{told.peak_concurrency:,}",
        "throttled": counted(told.throttles, "answer 429", "answers 429") + after,
        "S3 slow-downs": counted(told.s3_slow_downs, "answer 503", "answers 503"),
        "stragglers": f"{told.stragglers:,}",
        "rounds": f"{len(told.rounds):,}",
    }
    items = told.items
    if items.predicted != items.total:
        lines["items"] = (
            f"{items.predicted:,} predicted, {items.dead_lettered:,} dead letters, {items.missing:,} missing"
        )
    return lines


def _rounds(simulated: Simulated) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2))
    for name in ("round", "batches", "from", "to", "429s", "unfinished", "died", "rest"):
        table.add_column(name, justify="right", no_wrap=True)
    rounds = simulated.simulation.rounds
    for number, one in enumerate(rounds[:MOST_ROUNDS], 1):
        table.add_row(
            str(number),
            f"{one.entries:,}",
            moment(one.began_s, simulated.simulation.duration_s),
            moment(one.ended_s, simulated.simulation.duration_s),
            f"{one.throttles:,}",
            f"{one.unfinished:,}",
            f"{one.died:,}",
            f"{one.rest:,}",
        )
    if len(rounds) > MOST_ROUNDS:
        table.add_row("…", *([""] * 7))
    return table


def _rests_on(simulated: Simulated) -> list[str]:
    """What a reader has to know of where the figures come from."""
    scenario = simulated.scenario
    chance = (
        f"Chance: durations scatter by a sigma of {scenario.jitter:g}, and {scenario.tail:.1%} of the invocations"
        f" take {scenario.tail_factor:g} times as long and more; seed {scenario.seed}. The closed form has"
        f" none of it, no 429, and no further rounds."
    )
    lines = [
        "The deployed state machine on a model of Lambda and S3 (docs/simulation.md); not measured on AWS.",
        chance,
    ]
    if simulated.account_from == "default":
        lines.append(
            "A new account may have fewer than 1,000 concurrent executions; --account-concurrency says how many."
        )
    return [*lines, *rests_on(simulated.job, simulated.estimate)]
