"""The short summary that a person reads when a job has ended."""

import shlex
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.text import Text

from fanwise_cli.advice import Commands, advise, lines_of
from fanwise_cli.examples import MAX_ERRORS, Example, examples_of, first_of, lines_of_file, print_examples
from fanwise_cli.home import REPLAYS, JobHome
from fanwise_cli.progress import a_second, counted
from fanwise_cli.terminal import JobConsole, say

_LINES_WITH_URIS = 20  # of a failures file, looked at for URIs

# The lines that a person copies from.
_TO_COPY = (
    "results",
    "failures",
    "summary",
    "to go on",
    "to retry",
    "to mend",
    "or",
    "job",
    "execution",
    "console",
    "next",
)
_MARK = {
    "SUCCEEDED": ("✔", "bold green"),
    "PARTIALLY_FAILED": ("!", "bold yellow"),
    "FAILED": ("✘", "bold red"),
}


def print_summary(
    console: JobConsole,
    summary: dict[str, Any],
    out: Path,
    *,
    extra: dict[str, str],
    home: Path | None = None,
) -> None:
    """Print the verdict, what it took, and where the results are: in `out`, of the job whose home is `home`.

    `home` is `out` unless it is said; `extra` are further lines, label → text.
    """
    lines = {**extra, **told_lines(summary), **_where(summary, out), **next_steps(summary, out, home or out)}
    print_verdict(console, summary, lines, examples_of(lines_of_file(out / "failures.jsonl"), summary))


def print_verdict(
    console: JobConsole,
    summary: dict[str, Any],
    lines: dict[str, str],
    examples: Mapping[str, list[Example]] | None = None,
) -> None:
    """Print the verdict, examples of its dead letters, and lines of label → text."""
    console.tell(headline(summary), wrap=True)
    if summary["reason"]:
        console.tell("  " + " ".join(summary["reason"].split()), "red", wrap=True)
    print_examples(console, examples or {}, summary["failures"])
    print_lines(console, lines)


def say_why_failed(summary: Mapping[str, Any], examples: Mapping[str, list[Example]]) -> None:
    """On stderr, why a job FAILED, where nobody is shown its summary; nothing of one that did not."""
    if summary["status"] != "FAILED":
        return
    say(f"the job FAILED: {' '.join((summary['reason'] or 'no reason was reported').split())}")
    if (example := first_of(examples)) is not None:
        say(example)


def print_lines(console: JobConsole, lines: dict[str, str]) -> None:
    """Print lines of label → text, below each other; what a person copies from stays whole."""
    width = max(map(len, lines), default=0)
    for label, value in lines.items():
        line = Text.assemble("  ", (label.ljust(width), "dim"), "  ", value)
        console.tell(line, wrap=label not in _TO_COPY)


def lasted(seconds: float) -> str:
    """A duration as people say it: `4.2 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def dollars(amount: float) -> str:
    """A price as exact as it is worth: `$1,234.50`, `$0.0012`, `less than $0.0001`."""
    if 0 < amount < 0.0001:
        return "less than $0.0001"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def headline(summary: dict[str, Any]) -> Text:
    """The verdict in a line."""
    items, status = summary["items"], summary["status"]
    mark, style = _MARK[status]
    text = Text.assemble((f"{mark} {status}", style), "  ")
    if not items["total"]:
        return text.append("there were no items to predict")
    text.append(f"{items['predicted']:,} of {counted(items['total'], 'item')} predicted")
    if items["dead_lettered"]:
        text.append(f", {counted(items['dead_lettered'], 'dead letter')}", style="yellow")
    if items["missing"]:
        text.append(f", {items['missing']:,} missing", style="red")
    return text.append(f" in {lasted(summary['duration_s'])} ({a_second(summary['items_per_s'])} items/s)")


def told_lines(summary: dict[str, Any]) -> dict[str, str]:
    """What became of the dead letters, and what the job took."""
    model, cost = summary["model"], summary["cost_usd"]
    lines: dict[str, str] = {}
    if summary["failures"]:
        lines["dead letters"] = _errors(summary["failures"])
    if summary.get("replays"):
        lines["replayed"] = _replayed(summary["replays"])
    lines["model"] = f"{model['name']}@{model['version']} ({model['runtime']})"
    lines["work"] = _work(summary)
    lines["on Lambda"] = (
        f"{summary['billed_gb_s']:,.1f} GB-s, about {dollars(cost['total'])} at list price ({cost['prices']})"
    )
    if estimate := summary.get("estimate"):
        lines["estimated"] = (
            f"{estimate['billed_gb_s']:,.1f} GB-s, {dollars(estimate['cost_usd']['total'])}, and"
            f" {lasted(estimate['duration_s']['total'])} on Lambda, when it was planned"
        )
    return lines


def _where(summary: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Where the results are."""
    lines = {"results": str(out / "predictions.jsonl")}
    if summary["items"]["dead_lettered"]:
        lines["failures"] = f"{out / 'failures.jsonl'}, itself an items file"
    lines["summary"] = str(out / "summary.json")
    return lines


def next_steps(summary: Mapping[str, Any], out: Path, home: Path) -> dict[str, str]:
    """What can be done about what a job of this machine left, whose results are in `out` and home is `home`."""
    replays = len(summary.get("replays") or ())
    failures = (home / REPLAYS / str(replays) if replays else out) / "failures.jsonl"
    job = shlex.quote(str(home))
    again, roots = "--model MODEL --out ANOTHER", _roots(failures, home)
    commands = Commands(
        resume=f"fanwise resume {job}",
        replay=f"fanwise replay {job}",
        failures=str(failures),
        run=f"fanwise run ITEMS {again}",
        run_mended=f"fanwise run {shlex.quote(str(failures))} {again}{roots}",
    )
    return lines_of(advise(summary), commands)


def _roots(failures: Path, home: Path) -> str:
    """The options by which the URIs of dead letters are found again, where they have any."""
    lines = islice(lines_of_file(failures), _LINES_WITH_URIS)
    held = JobHome(home).job() if any(b'"s3://' in line for line in lines) else None
    folders = {} if held is None else held.folders
    return "".join(f" --root {shlex.quote(f'{name}={path}')}" for name, path in folders.items())


def _errors(failures: dict[str, int]) -> str:
    """`UndecodableImage 1,200, NotFound 3`, and how many kinds are not named."""
    named = [f"{error} {n:,}" for error, n in failures.items()]
    more = len(named) - MAX_ERRORS
    return ", ".join(named[:MAX_ERRORS]) + (f" and {counted(more, 'other kind')}" if more > 0 else "")


def _replayed(replays: list[dict[str, Any]]) -> str:
    """`7 of 10 dead letters predicted in 2 replays, 3 left`."""
    total, last = replays[0]["items"]["total"], replays[-1]["items"]
    left = last["total"] - last["predicted"]
    return (
        f"{total - left:,} of {counted(total, 'dead letter')} predicted in {counted(len(replays), 'replay')},"
        f" {left:,} left"
    )


def _work(summary: dict[str, Any]) -> str:
    died = summary["entries"]["died"]
    parts = [
        f"{counted(summary['invocations'], 'invocation')} in {counted(summary['rounds'], 'round')}",
        counted(summary["cold_starts"], "cold start"),
    ]
    if died:
        parts.append(f"{died:,} died and {'was' if died == 1 else 'were'} cut")
    return ", ".join(parts)
