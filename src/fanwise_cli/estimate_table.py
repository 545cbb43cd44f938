"""An estimate as people read it: time and price in their parts, what would be better, and what it all rests on."""

from itertools import zip_longest
from typing import Any

from rich.table import Table
from rich.text import Text

from fanwise.limits import DEADLINE_RESERVE_S, VCPU_MB
from fanwise.reckoning.choices import HEADROOM
from fanwise.reckoning.estimate import PROMISED_EXECUTIONS, Estimate
from fanwise.reckoning.queueing import S3_GETS_PER_S
from fanwise.records import ModelRef
from fanwise_cli.counting import LINE_BYTES
from fanwise_cli.estimating import Reckoned
from fanwise_cli.progress import counted
from fanwise_cli.summary import dollars, lasted, print_lines
from fanwise_cli.surveying import Survey
from fanwise_cli.terminal import JobConsole

_MACHINES = {"x86_64": ("x86_64", "AMD64"), "arm64": ("aarch64", "arm64")}  # as `platform` calls them
_TIMES = {
    "start": "plan and probe",
    "ramp_up": "ramp-up",
    "cold_starts": "cold starts",
    "compute": "compute",
    "s3_wait": "waiting for S3",
    "tail": "tail",
    "account": "accounting",
}
_PRICES = {
    "lambda_compute": "Lambda GB-s",
    "lambda_requests": "Lambda requests",
    "lambda_storage": "Lambda storage",
    "transitions": "state transitions",
    "children": "Express children",
    "s3_puts": "S3 writes and lists",
    "s3_gets": "S3 reads",
}


def print_estimate(console: JobConsole, reckoned: Reckoned) -> None:
    """Print the table, and in words what it rests on."""
    found, job = reckoned.estimate, reckoned.job
    console.tell(
        Text.assemble(
            (f"{counted(found.items, 'item')}", "bold"),
            f" by {named(job.model)}: about ",
            (lasted(found.duration_s.total), "bold"),
            " and ",
            (dollars(found.cost_usd["total"]), "bold"),
        ),
        wrap=True,
    )
    print_lines(
        console,
        {
            "batches": f"{found.batches:,} of {found.batch_size:,} items ({job.batch_reason})",
            "invocations": f"{found.invocations:,}, by {counted(found.environments, 'environment')} of"
            f" {found.memory_mb:,} MB, {found.max_concurrency:,} at most",
            "on Lambda": f"{found.billed_gb_s:,.1f} GB-s",
        },
    )
    console.print(parts_table(found.duration_s, found.cost_usd))
    print_lines(
        console,
        {
            "best": reckoned.best.reason,
            "": f"{dollars(reckoned.best.total_usd)} and {lasted(reckoned.best.duration_s)}",
            "for a dollar": _for_a_dollar(found.executions_per_usd),
        },
    )
    console.print(_choices(reckoned))
    ramp_up = "Ramp-up: 1,000 environments each 10 s; tail: what the last batches are waited for."
    for line in [ramp_up, *_of_s3(job, found), *rests_on(job, found)]:
        console.tell(line, "dim", wrap=True)


def named(model: ModelRef) -> str:
    """A model and the runtime that it runs on: `digits@1 (litert)`."""
    return f"{model.name}@{model.version} ({model.runtime})"


def parts_table(duration_s: Any, cost_usd: dict[str, Any]) -> Table:
    """Time and price in their parts, beside each other; parts of a price that are nothing are left out."""
    times = [("time", lasted(duration_s.total), "bold")]
    times += [
        (f"  {label}", lasted(getattr(duration_s, name)), "")
        for name, label in _TIMES.items()
        if name != "s3_wait" or duration_s.s3_wait
    ]
    prices = [("price", dollars(cost_usd["total"]), "bold")]
    prices += [
        (f"  {label}", dollars(cost_usd["parts"][name]), "")
        for name, label in _PRICES.items()
        if cost_usd["parts"][name]
    ]
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
    for _ in ("time", "price"):
        table.add_column(justify="left", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
    for pair in zip_longest(times, prices, fillvalue=("", "", "")):
        table.add_row(*(Text(text, style) for label, value, style in pair for text in (label, value)))
    return table


def _choices(reckoned: Reckoned) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2))
    some_fewer = any(
        choice.max_concurrency < reckoned.estimate.max_concurrency for choice in reckoned.choices
    )
    at_once = ("at once",) if some_fewer else ()
    for name in ("memory", "vCPUs", "batch size", *at_once, "time", "price", ""):
        table.add_column(name, justify="right")
    for choice in reckoned.choices:
        marks = [
            word
            for word, is_so in (
                ("best", choice.memory_mb == reckoned.best.memory_mb),
                ("as it is", choice.memory_mb == reckoned.estimate.memory_mb),
            )
            if is_so
        ]
        table.add_row(
            f"{choice.memory_mb:,} MB",
            f"{choice.memory_mb / VCPU_MB:.2g}",
            f"{choice.batch_size:,}",
            *([f"{choice.max_concurrency:,}"] if some_fewer else []),
            lasted(choice.duration_s),
            dollars(choice.total_usd),
            Text(", ".join(marks), "green" if "best" in marks else "dim"),
        )
    return table


def _for_a_dollar(executions: dict[str, int]) -> str:
    """How many executions a dollar buys, held against the promise."""
    largest = executions["items_at_20000"]
    promised = (
        f"{PROMISED_EXECUTIONS:,} of up to {largest:,} items" if largest else f"never {PROMISED_EXECUTIONS:,}"
    )
    return (
        f"{executions['lambda']:,} such executions by Lambda alone ({promised}), {executions['all']:,} with"
        f" everything"
    )


def _of_s3(job: Survey, found: Estimate) -> list[str]:
    """What waiting for S3 means, where an estimate has it."""
    if not found.duration_s.s3_wait:
        return []
    lines = [
        f"Waiting for S3: it gives {S3_GETS_PER_S:,} objects a second of one prefix, below which all that items"
        f" point at is taken to lie. More environments than it has objects for cost more, and end no sooner."
    ]
    longest_s = found.environments * job.work.reading_s
    if longest_s > job.size.timeout_s - DEADLINE_RESERVE_S:
        lines.append(
            f"An invocation would wait up to {lasted(longest_s)} for its objects, and its timeout is"
            f" {lasted(job.size.timeout_s)}: what is not done by then is left to further rounds, which are not in"
            f" these figures. --max-concurrency helps; fanwise simulate plays it through."
        )
    return lines


def rests_on(job: Survey, found: Estimate) -> list[str]:
    """What a reader has to know of where the figures of an estimate, or of a simulation beside it, come from."""
    profile = job.profile
    lines = [f"List prices of {found.cost_usd['prices']}: our reckoning, not AWS's bill."]
    if job.guessed:
        lines.append(
            f"Nobody has seen the items: their number is as said, and a line of {LINE_BYTES} bytes each a guess."
        )
    if found.stands_in:
        lines.append(
            f"Measured on {found.measured_on}, not on Lambda: this machine stands in for it, a core for a vCPU"
            f" ({VCPU_MB:,} MB). fanwise profile JOB puts a job's own durations in its place."
        )
    else:
        lines.append(f"Measured on {found.measured_on}.")
    architecture = found.cost_usd["prices"].split()[1]
    if not profile.measured_on.system.endswith(_MACHINES[architecture]):
        lines.append(
            f"Durations are those of {profile.measured_on.system}; on {architecture} they may be others."
        )
    if found.memory_mb < profile.peak_memory_mb * HEADROOM:
        lines.append(
            f"The model needed {profile.peak_memory_mb:,} MB when it was measured: {found.memory_mb:,} MB may be"
            f" too few."
        )
    if max(profile.compute_ms) == 1 and found.memory_mb > VCPU_MB:
        lines.append("Measured with one vCPU only: more are taken to be no faster.")
    return lines
