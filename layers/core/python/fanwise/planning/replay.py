"""A replay: the dead letters that a job, or its last replay, left, as the items of a job of their own.

They are written down in the new job's home with the index that each has in the parent, so that the two can be told
together; from there they are planned like any other items file.
"""

import hashlib
import io
from array import array
from collections.abc import Iterator

import msgspec

from fanwise.errors import JobError
from fanwise.planning.claim import PlanEvent, planned, read_claim
from fanwise.planning.start import Replay
from fanwise.records import Failure, Job, Part, home_of
from fanwise.replays import read_summary, replays_of
from fanwise.storage import Storage

SLUG_CHARACTERS = 40

_encoder = msgspec.json.Encoder()
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_failure_decoder = msgspec.json.Decoder(Failure)
_parts_decoder = msgspec.json.Decoder(Part)


class _Indexed(msgspec.Struct):
    """All that is read of a line to know which item it is."""

    index: int


_index_decoder = msgspec.json.Decoder(_Indexed)


class ReplayedJob(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are replayed: those of `source_id`, the `number`-th time, from 1."""

    parent: Job
    source_id: str
    number: int


def find_replayed(replay: Replay, asked: PlanEvent, storage: Storage, bucket: str) -> ReplayedJob:
    """The job to replay, and whose dead letters are left of it. Raises `JobError`.

    A replay of this very execution, which another attempt of PlanJob began, counts as not there yet.
    """
    home = home_of(bucket, replay.replay)
    parent = planned(storage, home)
    if parent is None:
        raise JobError(f"job {replay.replay!r} was never planned in {bucket}; check the id")
    others = [job_id for job_id in replays_of(storage, home) if not _is_ours(job_id, asked, storage, bucket)]
    source_id = others[-1] if others else parent.job_id
    summary = read_summary(storage, home_of(bucket, source_id))
    if summary is None or summary["items"]["missing"]:
        raise JobError(
            f"job {source_id!r} has not been tried to its end, so its dead letters are not known yet;"
            f' go on with it first: {{"resume": "{source_id}"}}'
        )
    if not summary["items"]["dead_lettered"]:
        raise JobError(f"job {source_id!r} has no dead letters; there is nothing to replay")
    return ReplayedJob(parent=parent, source_id=source_id, number=len(others) + 1)


def _is_ours(job_id: str, asked: PlanEvent, storage: Storage, bucket: str) -> bool:
    holder = read_claim(storage, home_of(bucket, job_id))
    return holder is not None and holder.execution == asked.execution


def derive_replay_id(replayed: ReplayedJob, digest: str, runtime: str) -> str:
    """The id of the replay's job: the same for the same dead letters and model."""
    parent_id = replayed.parent.job_id
    identity = ("replay", parent_id, replayed.number, digest, runtime)
    unique = hashlib.sha256(_encoder.encode(identity)).hexdigest()[:16]
    slug = parent_id.rpartition("-")[0] or "job"
    return f"{slug[:SLUG_CHARACTERS].strip('-')}-replay-{unique}"


def write_dead_letters(replayed: ReplayedJob, storage: Storage, bucket: str, to_uri: str) -> int:
    """Write the dead letters as items, one a line, with the parent's index of each; without why they failed.

    Answers how many of them had killed their process.
    """
    source = home_of(bucket, replayed.source_id)
    origins: array[int] | None = None
    if replayed.source_id != replayed.parent.job_id:
        items = storage.read(source + "items.jsonl")
        origins = array("q", (line.index for line in _index_decoder.decode_lines(items)))
    lines, suspects = io.BytesIO(), 0
    for line in _dead_letters(storage, source):
        fields = _fields_decoder.decode(line)
        failure = _failure_decoder.decode(fields.pop("failure"))
        suspects += failure.stage == "invocation"
        if origins is not None:
            origin = origins[int(bytes(fields["index"]))]
            fields["index"] = msgspec.Raw(str(origin).encode())
        lines.write(_encoder.encode(fields))
        lines.write(b"\n")
    storage.write(to_uri, lines.getvalue())
    return suspects


def _dead_letters(storage: Storage, home: str) -> Iterator[bytes]:
    for part in _parts_decoder.decode_lines(storage.read(home + "parts.jsonl")):
        if part.key.startswith("failures/"):
            yield from storage.read(home + part.key).split(b"\n")[: part.count]
