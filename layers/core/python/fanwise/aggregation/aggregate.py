"""AggregateResults: account for a round, and either leave the next one's work, or end the job.

It may die at any line and is tried again: what it writes is the same again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fanwise import limits
from fanwise.aggregation.accounting import account
from fanwise.aggregation.parts import parts_of, remove_orphans
from fanwise.aggregation.recomputed import recomputed_of
from fanwise.aggregation.stopping import reason_to_stop
from fanwise.aggregation.summary import summary_of
from fanwise.commits import read_job, read_work, walk, write_work
from fanwise.digests import DIGESTS_KEY, digests_of, digests_text, root_of, sha256_of_bytes
from fanwise.pricing import Meter
from fanwise.reckoning.job_usage import Others
from fanwise.recomputation import draw, write_drawn
from fanwise.records import Round, home_of, job_prefix
from fanwise.replays import read_summary, told_of_replays, write_summary
from fanwise.storage import Storage


def aggregate_results(
    event: Mapping[str, Any],
    storage: Storage,
    *,
    results_bucket: str,
    memory_mb: int,
    region: str | None = None,
    meter: Meter | None = None,
) -> dict[str, Any]:
    """Account for a round and answer with the next `records.Round`, or with the last one and its summary.

    `event` is the Round that has run, with `map_run` (what the Map answered) or `stop` (why there was none).
    `memory_mb` is PredictBatch's, `region` the one whose prices the job's cost is reckoned with; `meter` measures
    this invocation for it.
    Raises `StoreUnavailable`.
    """
    before = msgspec.convert(event, Round)
    home = home_of(results_bucket, before.job_id)
    job = read_job(storage, home)
    ledger = walk(storage, home)
    ran = bool(before.entries) and before.stop is None
    after = account(before, job, ledger, read_work(storage, home, before.round) if ran else [])
    reason = reason_to_stop(event, before, after, job, storage)
    if ledger.left and reason is None:
        left = after.next_entries
        key = write_work(storage, home, before.round + 1, left)
        return _to_builtins(
            msgspec.structs.replace(
                before,
                round=before.round + 1,
                entries=len(left),
                work_key=job_prefix(before.job_id) + key,
                wait_s=limits.STALLED_WAIT_S * 2**after.stalled if after.unfinished else 0,
                decided=after.decided,
                stalled=after.stalled,
                unfinished=before.unfinished + after.unfinished,
                probe=None,
                **_others(before, meter),
            )
        )
    wanted = None if "recomputed" in event or ledger.left or before.closes else job.recompute
    if wanted is not None and (drawn := draw(storage, home, ledger.commits, wanted.items, job.job_id)):
        write_drawn(storage, home, drawn)
        return _to_builtins(
            msgspec.structs.replace(
                before,
                round=before.round + ran,
                entries=0,
                wait_s=0,
                decided=after.decided,
                unfinished=before.unfinished + after.unfinished,
                probe=None,
                recompute=wanted,
                **_others(before, meter),
            )
        )
    predictions, failures = parts_of(ledger.commits)
    storage.write(home + "parts.jsonl", msgspec.json.Encoder().encode_lines([*predictions, *failures]))
    summary = summary_of(
        before,
        after,
        job,
        ledger,
        reason=reason,
        memory_mb=memory_mb,
        rounds=before.round + ran,
        region=region,
        others=Others(*_others(before, meter).values()),
        recomputed=recomputed_of(event),
    )
    digests = digests_text(digests_of(storage, home, ledger.commits))
    storage.write(home + DIGESTS_KEY, digests)
    summary["digests"] = sha256_of_bytes(digests)
    summary["root"] = root_of(summary)
    summary["replays"] = told_of_replays(storage, results_bucket, home)
    remove_orphans(storage, home, ledger.commits)
    write_summary(storage, home, summary)
    if job.parent is not None:
        _tell_parent(storage, results_bucket, job.parent)
    if summary["status"] == "FAILED":
        storage.delete(home + "_SUCCESS")  # an earlier execution's
    else:
        storage.write(home + "_SUCCESS", b"")
    return _to_builtins(
        msgspec.structs.replace(
            before,
            entries=0,
            wait_s=0,
            decided=after.decided,
            stop=None,
            probe=None,
            recompute=None,
            summary=summary,
            failures_uri=home + "failures/",
        )
    )


def _others(before: Round, meter: Meter | None) -> dict[str, Any]:
    """What PlanJob and AggregateResults have taken, this invocation with them."""
    if meter is None:
        return {"others": before.others, "others_gb_s": before.others_gb_s}
    return {"others": before.others + 1, "others_gb_s": before.others_gb_s + meter.gb_s()}


def _tell_parent(storage: Storage, bucket: str, parent: str) -> None:
    """Have the parent's summary tell of its replays as they are now."""
    home = home_of(bucket, parent)
    summary = read_summary(storage, home)
    if summary is not None:
        write_summary(storage, home, {**summary, "replays": told_of_replays(storage, bucket, home)})


def _to_builtins(round_: Round) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.to_builtins(round_)
    return answer
