"""What was tuned as people read it: a line for each combination, the best, and the words that put it to work."""

import shlex

from rich.table import Table
from rich.text import Text

from fanwise_cli.progress import counted
from fanwise_cli.summary import lasted, print_lines
from fanwise_cli.terminal import JobConsole
from fanwise_cli.tuning.combinations import Combination
from fanwise_cli.tuning.tune import Tuned


def print_tuned(console: JobConsole, tuned: Tuned, stack: str | None) -> None:
    """Print the table; `stack` is the one that it was measured on."""
    model = tuned.model
    console.tell(
        Text.assemble(
            (counted(tuned.work.items, "item"), "bold"),
            f" by {model['name']}@{model['version']}, {tuned.work.max_concurrency:,} at once at most, by ",
            (tuned.by, "bold"),
        ),
        wrap=True,
    )
    console.print(_table(tuned))
    print_lines(
        console,
        {
            "best": f"{tuned.best.name}: {tuned.reason}",
            "": f"{lasted(tuned.best.time_s)} and {usd(tuned.best.price_usd)} for the job",
        },
    )
    for note in tuned.notes:
        console.tell(note, "dim", wrap=True)
    console.tell(f"List prices of {tuned.prices}: our reckoning, not AWS's bill.", "dim", wrap=True)
    _to_work(console, tuned, stack)


def usd(amount: float) -> str:
    """A price to three digits, so that those of small jobs can be told apart."""
    if amount >= 1:
        return f"${amount:,.2f}"
    digits = 3
    while digits < 6 and amount < 10 ** (2 - digits):
        digits += 1
    return f"${amount:.{digits}f}"


def _table(tuned: Tuned) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    names = ("runtime", "MB", "vCPUs", "batch", "ms/item", "start", "peak", "time", "price", "")
    for name in names:
        table.add_column(name, justify="left" if name in ("runtime", "") else "right", no_wrap=True)
    before: Combination | None = None
    for one in tuned.combinations:
        is_same = before is not None and (before.runtime, before.memory_mb) == (one.runtime, one.memory_mb)
        table.add_row(*_row(one, tuned.best, is_same=is_same))
        before = one
    return table


def _row(one: Combination, best: Combination, *, is_same: bool) -> list[Text]:
    """A combination; what it has in common with the line above is said there."""
    setting = [one.runtime, f"{one.memory_mb:,}", f"{one.vcpus:.3g}"]
    marks = ["best"] if one == best else []
    marks += ["as it is"] if one.is_deployed and not is_same else []
    style = "green" if one == best else ""
    if one.failed is not None:
        figures = ["", "", "", "", "failed"]
    else:
        figures = [
            ("" if one.is_measured else "~") + f"{one.item_ms:.3g}",
            "" if is_same else f"{(one.cold_start_ms or 0) / 1000:.1f} s",
            f"{one.peak_memory_mb:,}" if one.peak_memory_mb else "",
            lasted(one.time_s),
            usd(one.price_usd),
        ]
    words = [*(["", "", ""] if is_same and one != best else setting), f"{one.batch_size:,}", *figures]
    return [Text(word, style) for word in words] + [Text(", ".join(marks), style or "dim")]


def _to_work(console: JobConsole, tuned: Tuned, stack: str | None) -> None:
    """How the best is chosen from now on: the stack's parameter, and a job's options."""
    best = tuned.best
    options = f"--runtime {best.runtime} --batch-size {best.batch_size}"
    console.tell("To put it to work:", "bold")
    if best.memory_mb != tuned.deployed_mb:
        name = f" --stack-name {shlex.quote(stack)}" if stack else ""
        parameter = f"PredictBatchMemoryMb={best.memory_mb}"
        console.tell(f"  sam deploy{name} --parameter-overrides {parameter}")
    console.tell(f"  fanwise submit ITEMS --model {shlex.quote(tuned.given)} {options}")
