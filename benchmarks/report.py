"""`python -m benchmarks report`: writes what was measured into docs/benchmarks.md, between two markers."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.drawing import draw
from benchmarks.errors import BenchmarkError
from benchmarks.machine import kind_of
from benchmarks.parts import charts_of, tables_of
from benchmarks.results import Machine, Results, latest_by_kind
from benchmarks.tables import Chart, as_markdown

BEGIN = "<!-- measured: begin (written by `python -m benchmarks report`) -->"
END = "<!-- measured: end -->"


def write_report(results_folder: Path, page: Path) -> int:
    """Put the newest kept run of each kind of machine into the page, its pictures into a folder beside it.

    Answers how many runs that are.
    Raises `BenchmarkError` where nothing is kept, or the page has not the two markers.
    """
    kept = latest_by_kind(results_folder)
    if not kept:
        raise BenchmarkError("no results are kept yet; `python -m benchmarks` (make bench) measures")
    text = with_measured(page.read_text(), measured_section(kept, pictures_folder(page).name))
    for results in kept:
        for chart in charts_of(results):
            draw(chart, pictures_folder(page) / picture_name(results, chart))
    page.write_text(text)
    return len(kept)


def pictures_folder(page: Path) -> Path:
    """The folder of the page's name."""
    return page.with_suffix("")


def picture_name(results: Results, chart: Chart) -> str:
    """A file's name, by chart and kind of machine."""
    return f"{chart.name}-{kind_of(results.machine)}.svg"


def measured_section(kept: Sequence[Results], pictures: str) -> str:
    """The Markdown of these runs; `pictures` is the folder that theirs are in, as the page calls it."""
    sections = []
    for results in kept:
        head = f"### {results.date}, fanwise {results.fanwise}, {_described(results.machine)}\n\n"
        before = f"Load of the machine before: {results.load_before:.1f}.{_peers(results)}\n\n"
        charts = [
            f"![{chart.title}]({pictures}/{picture_name(results, chart)})\n" for chart in charts_of(results)
        ]
        tables = [as_markdown(table) for table in tables_of(results)]
        sections.append(head + before + "\n".join([*charts, *tables]))
    return "\n".join(sections)


def with_measured(text: str, section: str) -> str:
    """The page with `section` in place of what stands between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"the page has not both markers, {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def _peers(results: Results) -> str:
    if not results.versions:
        return " The peers were not installed."
    return " Peers: " + ", ".join(f"{name} {version}" for name, version in results.versions.items()) + "."


def _described(machine: Machine) -> str:
    return (
        f"{machine.cores} cores of {machine.cpu}, {machine.memory_gb:g} GB, {machine.system},"
        f" Python {machine.python}, TensorFlow {machine.tensorflow}"
    )
