"""`python -m benchmarks report`: writes what was measured into docs/benchmarks.md, between two markers."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.parts import tables_of
from benchmarks.results import Machine, Results, latest_by_kind
from benchmarks.tables import as_markdown

BEGIN = "<!-- measured: begin (written by `python -m benchmarks report`) -->"
END = "<!-- measured: end -->"


def write_report(results_folder: Path, page: Path) -> int:
    """Put the newest kept run of each kind of machine into the page; answers how many that are.

    Raises `BenchmarkError` where nothing is kept, or the page has not the two markers.
    """
    kept = latest_by_kind(results_folder)
    if not kept:
        raise BenchmarkError("no results are kept yet; `python -m benchmarks` (make bench) measures")
    page.write_text(with_measured(page.read_text(), measured_section(kept)))
    return len(kept)


def measured_section(kept: Sequence[Results]) -> str:
    """The Markdown of these runs."""
    sections = []
    for results in kept:
        head = f"### {results.date}, fanwise {results.fanwise}, {_described(results.machine)}\n\n"
        before = f"Load of the machine before: {results.load_before:.1f}.\n\n"
        sections.append(head + before + "\n".join(as_markdown(table) for table in tables_of(results)))
    return "\n".join(sections)


def with_measured(text: str, section: str) -> str:
    """The page with `section` in place of what stands between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"the page has not both markers, {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def _described(machine: Machine) -> str:
    return (
        f"{machine.cores} cores of {machine.cpu}, {machine.memory_gb:g} GB, {machine.system},"
        f" Python {machine.python}, TensorFlow {machine.tensorflow}"
    )
