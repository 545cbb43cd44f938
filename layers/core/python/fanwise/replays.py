"""A job and the jobs that replayed its dead letters: `replays/NUMBER-JOB_ID.json` in its home, in order.

A replay is a job of its own, whose items are the dead letters that its parent, or the replay before it, left. So
the parent's dead letters that are left over are those of its last replay.
"""

from typing import Any

import msgspec

from fanwise.records import home_of
from fanwise.storage import Storage

_FOLDER = "replays/"
_NUMBER_DIGITS = 6


def register_replay(storage: Storage, parent_home: str, number: int, job_id: str) -> None:
    """Write down that a job is replay `number` of its parent; again is fine."""
    marker = f"{parent_home}{_FOLDER}{number:0{_NUMBER_DIGITS}d}-{job_id}.json"
    storage.write(marker, msgspec.json.encode({"job_id": job_id}))


def replays_of(storage: Storage, home: str) -> list[str]:
    """The ids of a job's replays, in their order."""
    names = sorted(info.key.rpartition("/")[2] for info in storage.list(home + _FOLDER))
    return [name.partition("-")[2].removesuffix(".json") for name in names]


def read_summary(storage: Storage, home: str) -> dict[str, Any] | None:
    """summary.json of a job; None while there is none."""
    try:
        summary: dict[str, Any] = msgspec.json.decode(storage.read(home + "summary.json"))
    except FileNotFoundError:
        return None
    return summary


def write_summary(storage: Storage, home: str, summary: dict[str, Any]) -> None:
    """Write summary.json."""
    text = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    storage.write(home + "summary.json", text + b"\n")


def told_of_replays(storage: Storage, bucket: str, home: str) -> list[dict[str, Any]]:
    """What a job's summary says of its replays: `{"job_id", "status", "items", "root"}` of each that has ended."""
    told = []
    for job_id in replays_of(storage, home):
        summary = read_summary(storage, home_of(bucket, job_id))
        if summary is not None:
            told.append({key: summary.get(key) for key in ("job_id", "status", "items", "root")})
    return told
