"""The short summary that a person reads when a job has ended."""

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_MARK = {
    "SUCCEEDED": ("✔", "bold green"),
    "PARTIALLY_FAILED": ("!", "bold yellow"),
    "FAILED": ("✘", "bold red"),
}


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 item`, `2,000 items`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def print_summary(console: Console, summary: dict[str, Any], out: Path, *, extra: dict[str, str]) -> None:
    """Print the verdict, what it took, and where the results are. `extra` are further lines, label → text."""
    console.print(_headline(summary))
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for label, value in {**extra, **_lines(summary, out)}.items():
        rows.add_row(f"  {label}", value)
    console.print(rows)


def _headline(summary: dict[str, Any]) -> RenderableType:
    items, status = summary["items"], summary["status"]
    mark, style = _MARK[status]
    text = Text.assemble((f"{mark} {status}", style), "  ")
    text.append(f"{items['predicted']:,} of {counted(items['total'], 'item')} predicted")
    if items["dead_lettered"]:
        text.append(f", {counted(items['dead_lettered'], 'dead letter')}", style="yellow")
    if items["missing"]:
        text.append(f", {items['missing']:,} missing", style="red")
    text.append(f" in {summary['duration_s']:.1f} s ({summary['items_per_s']:,.0f} items/s)")
    return Group(text, Text(f"  {summary['reason']}", style="red")) if summary["reason"] else text


def _lines(summary: dict[str, Any], out: Path) -> dict[str, RenderableType]:
    model, entries, cost = summary["model"], summary["entries"], summary["cost_usd"]
    lines: dict[str, RenderableType] = {}
    if summary["failures"]:
        lines["dead letters"] = ", ".join(f"{error} {n:,}" for error, n in summary["failures"].items())
    lines["model"] = f"{model['name']}@{model['version']} ({model['runtime']})"
    work = f"{counted(summary['invocations'], 'invocation')} in {counted(summary['rounds'], 'round')}"
    work += f", {counted(summary['cold_starts'], 'cold start')}"
    if entries["died"]:
        work += f", {entries['died']:,} died and {'was' if entries['died'] == 1 else 'were'} cut"
    lines["work"] = work
    lines["on Lambda"] = (
        f"{summary['billed_gb_s']:,.1f} GB-s, about ${cost['total']:.4f} at list price ({cost['prices']})"
    )
    lines["results"] = Text(str(out / "predictions.jsonl"))
    if summary["items"]["dead_lettered"]:
        lines["failures"] = Text(str(out / "failures.jsonl"))
    lines["summary"] = Text(str(out / "summary.json"))
    return lines
