"""What a run of the benchmarks leaves: every repetition as measured. Medians and ratios are the reader's."""

import re
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.errors import BenchmarkError

FORMAT = 2


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. No names of hosts or paths."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    tensorflow: str


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmarks. `parts` has what each part left, by its name; `versions` those of the peers."""

    fanwise: str
    date: str  # ISO 8601, UTC
    machine: Machine
    quick: bool
    load_before: float  # the machine's load average of the last minute: 0 is an idle machine
    parts: dict[str, Any] = {}
    versions: dict[str, str] = {}
    format: int = FORMAT


_NAME = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})-(?P<kind>[a-z0-9-]+)\.json")


def write_results(results: Results, folder: Path, kind: str) -> Path:
    """Keep a run as `folder/DATE-KIND.json`, whole or as far as it is.

    Parts that were kept that day already, of the same fanwise on the same machine, stay if this run has them not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.date}-{kind}.json"
    before = _readable(path)
    if before is not None and (before.fanwise, before.machine) == (results.fanwise, results.machine):
        results = msgspec.structs.replace(
            results,
            parts=before.parts | results.parts,
            load_before=max(before.load_before, results.load_before),
            versions=results.versions or before.versions,
        )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    return path


def _readable(path: Path) -> Results | None:
    try:
        return read_results(path)
    except BenchmarkError:  # none, or of another format
        return None


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
