"""What a job's home says of itself: its plan, which files count, its ledger and its summary.

Only what is written there; whether it is true is for `check` to say. What cannot be read is told in one line each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fanwise.commits import Walk, read_job, read_work, walk, work_key
from fanwise.errors import FanwiseError, InputError, LocationError
from fanwise.records import Claim, Commit, Entry, ExecutionRecord, Job, Part, execution_key, home_of
from fanwise.storage import Location, Storage

PREDICTIONS, FAILURES = "predictions/", "failures/"

_part_decoder = msgspec.json.Decoder(Part)


@dataclass(frozen=True)
class Statements:
    """What the job says. `summary` and `ledger` are None where they are not there, or cannot be read.

    `parts` are those that count: of a job that has ended parts.jsonl's, else those of the commits. `entries` are
    the entries of the ledger, by name. A job that `is_resumed` had ended with items missing, and has commits that
    it had not then.
    """

    parts: list[Part] = field(default_factory=list)
    is_finished: bool = False
    summary: dict[str, Any] | None = None
    ledger: Walk | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    is_resumed: bool = False
    planned: list[Entry] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def commits(self) -> list[Commit]:
        """The commits that the ledger leads to."""
        return [] if self.ledger is None else self.ledger.commits


def read_plan(storage: Storage, home: str) -> Job:
    """job.json. Raises `InputError` for a job that was never planned, `FanwiseError` where its plan is damaged."""
    try:
        return read_job(storage, home)
    except FileNotFoundError as error:
        if is_there(storage, home + "parts.jsonl") or any(storage.list(home + "commits/")):
            raise FanwiseError(
                f"{home}job.json is gone, and without the plan nothing can be verified"
            ) from error
        raise InputError(
            f"{home}: holds no job that was planned; the run that began it goes on with it"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FanwiseError(
            f"{home}job.json is damaged ({error}), and without the plan nothing can be verified"
        ) from error


def read_statements(storage: Storage, home: str) -> Statements:
    """All of it but the plan."""
    troubles: list[str] = []
    ledger = _ledger(storage, home, troubles)
    planned = [] if ledger is None else read_work(storage, home, 0)
    left = [] if ledger is None else [rest for commit in ledger.commits for rest in commit.rest]
    entries = {entry.entry: entry for entry in [*planned, *left]}
    committed = parts_of(ledger)
    summary = _summary(storage, home, troubles)
    try:
        text = storage.read(home + "parts.jsonl")
    except FileNotFoundError:
        if summary is not None:
            troubles.append("there is a summary.json, but no parts.jsonl that says which files count")
        return Statements(committed, False, summary, ledger, entries, planned=planned, troubles=troubles)
    if summary is None and not troubles:
        troubles.append("there is a parts.jsonl, but no summary.json")
    parts = list(_parts_in(text, troubles))
    if ledger is not None and sorted(parts, key=_key) != committed:
        if _is_resumed(summary, ledger):
            return Statements(
                committed, False, None, ledger, entries, is_resumed=True, planned=planned, troubles=troubles
            )
        troubles.append(_other_parts(parts, committed))
    return Statements(parts, True, summary, ledger, entries, planned=planned, troubles=troubles)


def home_of_other(home: str, job_id: str) -> str:
    """The home of another job in the same bucket."""
    return home_of(Location.parse(home).bucket, job_id)


def is_there(storage: Storage, uri: str) -> bool:
    """Whether there is such an object."""
    try:
        storage.head(uri)
    except FileNotFoundError:
        return False
    return True


def _ledger(storage: Storage, home: str, troubles: list[str]) -> Walk | None:
    try:
        return walk(storage, home, by_answers=False)
    except FileNotFoundError as error:
        troubles.append(f"the ledger cannot be read: {error}")
    except FanwiseError as error:
        troubles.append(f"the ledger is damaged: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        troubles.append(f"the ledger is damaged: {_damaged_file(storage, home)}: {error}")
    return None


def _damaged_file(storage: Storage, home: str) -> str:
    """Which file of the ledger it is that cannot be read."""
    prefix = Location.parse(home).key
    for info in storage.list(home + "commits/"):
        try:
            msgspec.json.decode(storage.read(f"{home}{info.key.removeprefix(prefix)}"), type=Commit)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return info.key.removeprefix(prefix)
    return work_key(0)


def _summary(storage: Storage, home: str, troubles: list[str]) -> dict[str, Any] | None:
    try:
        summary = msgspec.json.decode(storage.read(home + "summary.json"))
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        troubles.append(f"summary.json is damaged: {error}")
        return None
    if isinstance(summary, dict) and isinstance(summary.get("items"), dict):
        return summary
    troubles.append('summary.json is damaged: it has no "items"')
    return None


def _is_resumed(summary: dict[str, Any] | None, ledger: Walk) -> bool:
    """Whether the job ended with items missing, and some of them were decided after that."""
    missing = summary["items"].get("missing") if summary is not None else 0
    return isinstance(missing, int) and sum(entry.count for entry in ledger.left) < missing


def parts_of(ledger: Walk | None) -> list[Part]:
    commits = [] if ledger is None else ledger.commits
    named = (part for commit in commits for part in (commit.predictions, commit.failures) if part)
    return sorted(named, key=_key)


def _parts_in(text: bytes, troubles: list[str]) -> Iterator[Part]:
    lines = text.split(b"\n")
    if lines.pop():
        troubles.append(f"parts.jsonl, line {len(lines) + 1}: the file ends in the middle of it")
    for number, line in enumerate(lines, 1):
        try:
            part = _part_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            troubles.append(f"parts.jsonl, line {number}: {error}")
            continue
        if part.key.startswith((PREDICTIONS, FAILURES)):
            yield part
        else:
            troubles.append(f"parts.jsonl, line {number}: {part.key!r} is no file of predictions or failures")


def _key(part: Part) -> tuple[bool, int, str]:
    """Predictions first, each in index order: as AggregateResults has it."""
    return part.key.startswith(FAILURES), part.first, part.key


def _other_parts(parts: list[Part], committed: list[Part]) -> str:
    named, decided = {part.key for part in parts}, {part.key for part in committed}
    if unnamed := sorted(decided - named):
        return f"parts.jsonl does not name {unnamed[0]}, which a commit does ({len(unnamed)} such)"
    if undecided := sorted(named - decided):
        return f"parts.jsonl names {undecided[0]}, which no commit does ({len(undecided)} such)"
    return "parts.jsonl says other counts, or names files more often, than the commits"


def read_claim_of(storage: Storage, home: str) -> Claim | None:
    """claim.json; None where it is not there or cannot be read."""
    try:
        return msgspec.json.decode(storage.read(home + "claim.json"), type=Claim)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_execution_of(storage: Storage, home: str, execution: str) -> str | None:
    """The job that an execution's record names; None where it is not there or cannot be read."""
    uri = f"s3://{Location.parse(home).bucket}/{execution_key(execution)}"
    try:
        return msgspec.json.decode(storage.read(uri), type=ExecutionRecord).job_id
    except (FileNotFoundError, LocationError, msgspec.DecodeError, UnicodeDecodeError):
        return None
