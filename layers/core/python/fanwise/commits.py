"""The ledger of a job: `commits/ENTRY.json`, written once, and the walk from the plan through them.

An entry is decided by whoever creates its commit first; everyone else reads that commit and goes by it. What a
commit leaves over (`rest`) is entries of their own, so the commits make a tree below each planned entry, and its
leaves without a commit are what is left to do. Coverage holds by construction: the counts of a commit add up to
its entry's, so those of the walk add up to the plan's (docs/adr/0004-rounds-and-commits.md).

Who decides an entry also answers with its commit, and a Map Run's answers are in the ResultWriter's files: a
hundred thousand commits in one object. A commit is read by itself where they lack it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec

from fanwise.digests import commit_encoder
from fanwise.errors import FanwiseError, ItemsChanged
from fanwise.records import Commit, Entry, Job
from fanwise.storage import Location, Storage

MAP_RUNS = (
    "map-run/"  # what the ResultWriter writes, below the job's home (statemachine/batch_inference.asl.json)
)
READERS = 32  # commits read at once: small objects, so it is the latency that counts
_MOST_IN_A_ROW = 64  # commits that a reader reads one after the other: each task costs as much as a read
_TASKS_A_READER = 4

_encoder = msgspec.json.Encoder()
_commit_decoder = msgspec.json.Decoder(Commit)
_entry_decoder = msgspec.json.Decoder(Entry)


class _Answer(msgspec.Struct, frozen=True):
    """What a child gave, as far as it is read here."""

    commit: Commit | None = None


_answer_decoder = msgspec.json.Decoder(_Answer)


def commit_key(entry: str) -> str:
    """Where an entry's commit lies, below the job's home."""
    return f"commits/{entry}.json"


def work_key(round_: int) -> str:
    """Where a round's entries lie, below the job's home."""
    return f"work/{round_}.jsonl"


def unheard(commit: Commit) -> None:
    """For who decides an entry where nobody wants to hear of it."""


def decide(
    storage: Storage, home: str, commit: Commit, committed: Callable[[Commit], None] = unheard
) -> Commit:
    """Write the commit of an entry, unless it is decided already; answers with the one that counts.

    `commit.invocation.request_id` makes it unique to its writer, so that an answer that got lost is not taken
    for a rival; `committed` is told of it if it is the one. `home` ends with a slash.
    """
    winner = _commit_decoder.decode(
        storage.create(home + commit_key(commit.entry), commit_encoder.encode(commit))
    )
    if winner.invocation.request_id == commit.invocation.request_id:
        committed(winner)
    return winner


def read_commit(storage: Storage, home: str, entry: str) -> Commit | None:
    """The commit of an entry, or None while it is undecided."""
    try:
        return _commit_decoder.decode(storage.read(home + commit_key(entry)))
    except FileNotFoundError:
        return None


def answer_of(commit: Commit) -> dict[str, Any]:
    """What the child of an entry answers with: counts, and the commit, for AggregateResults.

    With as many entries as an invocation leaves over (`limits.MAX_REST_ENTRIES`) some 10 kB, of 256 KiB that a
    state may give.
    """
    return {
        "entry": commit.entry,
        "predicted": commit.predicted,
        "dead_lettered": commit.dead_lettered,
        "rest": sum(rest.count for rest in commit.rest),
        "commit": msgspec.json.decode(_encoder.encode(commit)),
    }


def write_work(storage: Storage, home: str, round_: int, entries: Sequence[Entry]) -> str:
    """Write a round's entries and answer with the key below the job's home."""
    storage.write(home + work_key(round_), _encoder.encode_lines(entries))
    return work_key(round_)


def read_work(storage: Storage, home: str, round_: int) -> list[Entry]:
    """A round's entries."""
    return _entry_decoder.decode_lines(storage.read(home + work_key(round_)))


def read_job(storage: Storage, home: str) -> Job:
    """The plan of a job."""
    return msgspec.json.decode(storage.read(home + "job.json"), type=Job)


@dataclass(frozen=True)
class Walk:
    """What the ledger says now: every commit reached from the plan, and the entries that have none."""

    planned: int
    commits: list[Commit]
    left: list[Entry]


def walk(storage: Storage, home: str, *, by_answers: bool = True) -> Walk:
    """Go from `work/0.jsonl` through the commits and their rests.

    Not `by_answers`: each commit is read by itself, and what children answered is not looked at.
    Raises `FanwiseError` where a commit's counts do not add up to its entry's, or its rests are not parts of it:
    something else wrote there.
    """
    told = read_answers(storage, home) if by_answers else {}
    level = read_work(storage, home, 0)
    planned, commits, left = len(level), [], []
    with ThreadPoolExecutor(READERS) as readers:
        while level:
            below: list[Entry] = []
            for entry, commit in _commits_of(level, told, readers, storage, home):
                if commit is None:
                    left.append(entry)
                    continue
                _check(entry, commit)
                commits.append(commit)
                below.extend(commit.rest)
            level = below
    return Walk(planned, commits, left)


def read_answers(storage: Storage, home: str) -> dict[str, Commit]:
    """The commits that the Map Runs' children answered with, by entry, as far as the files can be read."""
    bucket = Location.parse(home).bucket
    told: dict[str, Commit] = {}
    for info in storage.list(home + MAP_RUNS):
        if not info.key.rpartition("/")[2].startswith("SUCCEEDED"):
            continue
        begun = b""
        try:
            # By ETag: AggregateResults may not ask for versions.
            pin = replace(info, version_id=None)
            for chunk in storage.stream(f"s3://{bucket}/{info.key}", pin):
                lines, _, begun = (begun + chunk).rpartition(b"\n")
                for answer in _answer_decoder.decode_lines(lines):
                    if answer.commit is not None:
                        told[answer.commit.entry] = answer.commit
        except (msgspec.DecodeError, FileNotFoundError, PermissionError, ItemsChanged):
            continue  # it only spares requests; the commits are what counts
    return told


def _commits_of(
    level: Sequence[Entry],
    told: Mapping[str, Commit],
    readers: ThreadPoolExecutor,
    storage: Storage,
    home: str,
) -> Iterator[tuple[Entry, Commit | None]]:
    """The entries, each with its commit, read where nobody has told of it."""
    untold = [entry for entry in level if entry.entry not in told]
    in_a_row = min(_MOST_IN_A_ROW, max(1, len(untold) // (READERS * _TASKS_A_READER)))
    rows = [untold[start : start + in_a_row] for start in range(0, len(untold), in_a_row)]

    def read_row(row: Sequence[Entry]) -> list[Commit | None]:
        return [read_commit(storage, home, entry.entry) for entry in row]

    # A single one is read here: with none beside it, a thread would only cost its start.
    read = chain.from_iterable(readers.map(read_row, rows) if len(rows) > 1 else map(read_row, rows))
    for entry in level:
        yield entry, told[entry.entry] if entry.entry in told else next(read)


def _check(entry: Entry, commit: Commit) -> None:
    """Each step of the walk accounts for all items and leads further down, so that it cannot go in a circle."""
    for rest in commit.rest:
        if not rest.entry.startswith(f"{entry.entry}."):
            raise FanwiseError(
                f"{commit_key(entry.entry)} leaves over {rest.entry!r}, which is no part of its entry;"
                f" it was not written by fanwise"
            )
    counted = commit.predicted + commit.dead_lettered + sum(rest.count for rest in commit.rest)
    if counted != entry.count:
        raise FanwiseError(
            f"{commit_key(entry.entry)} accounts for {counted} of {entry.count} items;"
            f" it was not written by fanwise"
        )
