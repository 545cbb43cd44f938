"""A job of this machine that is opened again: what its disk lost or altered is noticed, and will be done again.

What is wrong is set aside below OUT/.fanwise/damaged/. An entry whose commit or part is not what was written has
none any more, so the next round does it again, and whatever lay below it (`entries`); a plan is made again from
items and model, and entries keep their commits where it is the same plan (`plans`). All that is right stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanwise.commits import MAP_RUNS, read_answers
from fanwise.digests import DIGESTS_KEY, root_of, sha256_of_bytes
from fanwise.errors import InputError, ItemsChanged
from fanwise.records import Claim, Entry, Job, Part, execution_key
from fanwise.storage import Location
from fanwise_cli.mending.checks import Unusable, decoded, decoded_lines, read_file
from fanwise_cli.mending.entries import Ledger, check_answers, read_ledger
from fanwise_cli.mending.home_files import HomeFiles
from fanwise_cli.mending.plans import Planning
from fanwise_local.mounts import Mounts
from fanwise_local.template import Stack

__all__ = ["Mended", "mend"]

ASIDE = "damaged"  # below the local cloud's folder
_ENDED = ("summary.json", "digests.txt", "parts.jsonl", "_SUCCESS")  # what a job has that has ended


@dataclass(frozen=True)
class Mended:
    """What a home has now: whether nothing was wrong and no entry is undecided, and its parts' sizes by folder."""

    is_whole: bool = False
    size_bytes: Mapping[str, int] = field(default_factory=dict)


def mend(
    mounts: Mounts,
    stack: Stack,
    work_dir: Path,
    job_id: str,
    *,
    start: Mapping[str, Any] | None,
    tell: Callable[[str], None],
) -> Mended:
    """Look through a job's home. `start` is what plans the job, None of a replay; `tell` is given a line for each
    thing that is wrong.

    Raises `InputError` where it cannot be mended, or items have changed of which some are undecided.
    """
    folder = mounts.folder_of(stack.buckets["ResultsBucket"]) / "jobs" / job_id
    if not folder.is_dir():
        return Mended()
    files = HomeFiles(folder, work_dir / ASIDE / job_id, tell)
    planning = Planning(mounts, stack, job_id, files, start)
    files.remove_unfinished()
    _check_claim(files)
    plan = planning.plan()
    if plan is None:
        for key in (MAP_RUNS.rstrip("/"), *_ENDED):  # answers of children would be taken for commits
            files.set_aside(key)
        return Mended()
    job, entries = plan
    ledger = read_ledger(files, entries)
    _check_rounds(files)
    check_answers(files, ledger.commits, read_answers(planning.storage, planning.home))
    _check_end(files, ledger)
    if ledger.left:
        _check_items(planning, job)
    sizes = {name: _size_bytes(ledger, name) for name in ("predictions", "failures")}
    return Mended(not files.told and not ledger.left, sizes)


def _size_bytes(ledger: Ledger, folder: str) -> int:
    return sum(part.size_bytes for part in ledger.parts() if part.key.startswith(f"{folder}/"))


def _check_claim(files: HomeFiles) -> None:
    """A claim that is gone, or never was, is written by the next execution.

    One that an execution has taken since the job ended is another, and that execution has a record.
    """
    if not files.has("claim.json"):
        return
    try:
        claim = decoded(files.path("claim.json"), Claim)
        record = files.folder.parent.parent / execution_key(claim.execution)
        if claim.execution == files.ended_by or not record.exists():
            files.check_digest("claim.json")
    except Unusable as error:
        if files.has("claim.json"):
            files.set_aside("claim.json")
            files.say("claim.json", str(error), "it is written again")


def _check_rounds(files: HomeFiles) -> None:
    """Of later rounds only how often an entry was tried is read."""
    for path in sorted(files.folder.glob("work/*.jsonl")):
        key = f"work/{path.name}"
        try:
            decoded_lines(path, Entry)
            files.check_digest(key)
        except Unusable as error:
            files.set_aside(key)
            files.say(key, str(error), "what is undecided is a round of its own")


def _check_end(files: HomeFiles, ledger: Ledger) -> None:
    """Set aside what says that the job has ended, where it does not agree with the commits."""
    if not files.has("summary.json"):
        return
    try:
        _check_summary(files, ledger)
    except Unusable as error:
        if not files.told:
            files.say("summary.json", str(error), "the results are counted again")
        for key in _ENDED:
            files.set_aside(key)


def _check_summary(files: HomeFiles, ledger: Ledger) -> None:
    summary = decoded(files.path("summary.json"), dict[str, Any])
    if "root" in summary and summary["root"] != root_of(summary):
        raise Unusable("is not what was counted")
    if summary.get("items", {}).get("missing"):
        return  # of an execution before this one
    if "digests" in summary and sha256_of_bytes(read_file(files.path(DIGESTS_KEY))) != summary["digests"]:
        raise Unusable("does not agree with digests.txt")
    if ledger.left:
        raise Unusable(f"counts {len(ledger.left)} entries that have no commit any more")
    listed = decoded_lines(files.path("parts.jsonl"), Part)
    if sorted(listed, key=_key_of) != sorted(ledger.parts(), key=_key_of):
        raise Unusable("does not agree with parts.jsonl and the commits")


def _key_of(part: Part) -> str:
    return part.key


def _check_items(planning: Planning, job: Job) -> None:
    """Raises `InputError` where what is undecided can no longer be read."""
    try:
        planning.storage.read(job.items.uri, 0, 0, job.items.pin())
    except ItemsChanged as error:
        location = Location.parse(job.items.uri)
        path = planning.mounts.folder_of(location.bucket) / location.key
        raise InputError(
            f"{path}: its content has changed since {job.job_id} was planned; put it back as it was, or run"
            f" fanwise run again into another --out, or here with --again"
        ) from error
