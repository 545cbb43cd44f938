"""What a run of the benchmarks leaves: every repetition as measured. Medians and ratios are the reader's."""

import re
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError

FORMAT = 1


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. No names of hosts or paths."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    tensorflow: str


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition over all items.

    `whole` counts from the start of the process (to the last prediction of the loop, to the exit of the command),
    `steady` over the middle 80 % of the items. `processor_s` is that of the process and of those it waited for.
    """

    whole_items_per_s: float
    steady_items_per_s: float
    processor_s: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """fanwise's predictions against the loop's, over all repetitions; the largest difference of any score kept."""

    compared: int
    other_label: int
    other_score: int
    largest_difference: float


class Mobilenet(msgspec.Struct, frozen=True, kw_only=True):
    """The loop and `fanwise run`, repetition by repetition, and fanwise's first run with an empty cache.

    `frozen`: whether preparing the bundle froze the model, which is up to the model and makes it faster.
    """

    items: int
    loop: tuple[Throughput, ...]
    fanwise: tuple[Throughput, ...]
    first_run_s: float
    frozen: bool
    invocations: int
    cold_starts: int
    agreement: Agreement


class MapRunMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One Map Run of the shipped definition over stub services, in a process of its own.

    `processor_s` leaves out the imports; `peak_memory_mb` is that of the whole process.
    """

    children: int
    max_concurrency: int
    duration_s: float
    processor_s: float
    peak_memory_mb: float
    most_in_flight: int
    mean_in_flight: float
    pinned: bool

    @property
    def children_per_s(self) -> float:
        """Children started and ended, a second of real time."""
        return self.children / self.duration_s

    @property
    def processor_ms_per_child(self) -> float:
        """Milliseconds of processor time that a child costs."""
        return self.processor_s * 1000 / self.children


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """The interpreter, repetition by repetition: all children at once in virtual time; many in real time."""

    virtual: tuple[MapRunMeasure, ...]
    real: tuple[MapRunMeasure, ...]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmarks. A part that was left out is None."""

    fanwise: str
    date: str  # ISO 8601, UTC
    machine: Machine
    quick: bool
    load_before: float  # the machine's load average of the last minute: 0 is an idle machine
    mobilenet: Mobilenet | None = None
    interpreter: Interpreter | None = None
    format: int = FORMAT


_NAME = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})-(?P<kind>[a-z0-9-]+)\.json")


def write_results(results: Results, folder: Path, kind: str) -> Path:
    """Keep a run as `folder/DATE-KIND.json`; a later run of the same day takes its place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.date}-{kind}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return path


def read_results(path: Path) -> Results:
    """Raises `BenchmarkError` for what is no such file, or one of another format."""
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except (msgspec.DecodeError, OSError) as error:
        raise BenchmarkError(f"{path}: not results of the benchmarks: {error}") from error
    if results.format != FORMAT:
        raise BenchmarkError(f"{path}: format {results.format}; this program reads {FORMAT}: measure again")
    return results


def latest_by_kind(folder: Path) -> list[Results]:
    """The newest kept run of each kind of machine, by kind. Other files are left alone."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")):  # the date comes first, so a later run is seen later
        if match := _NAME.fullmatch(path.name):
            newest[match["kind"]] = path
    return [read_results(newest[kind]) for kind in sorted(newest)]
