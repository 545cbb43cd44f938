"""The last stage of a round: from the commits to the next round's work, or to the verdict.

AggregateResults walks from the plan through the commits. What has no commit is the next round's work; if there
is none, or another round would not help, it writes `parts.jsonl` and `summary.json`, removes orphans, and judges
the job by items: SUCCEEDED (every item predicted), PARTIALLY_FAILED (some dead letters, within what is
tolerated), FAILED (beyond it, nothing predicted, or items missing).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

import fanwise
from fanwise import limits
from fanwise.commits import Walk, read_job, read_work, walk, write_work
from fanwise.errors import message_of_cause
from fanwise.pricing import Meter, billed_ms, price, prices_of
from fanwise.reckoning.job_usage import Others, parts_of_duration, usage_of_job
from fanwise.records import Commit, Entry, Job, Part, Round, home_of, job_prefix, moment_text
from fanwise.redaction import redacted
from fanwise.replays import read_summary, told_of_replays, write_summary
from fanwise.storage import Location, Storage

FINAL_ERRORS = ("ModelError", "ItemsChanged", "StoreFull")  # of children: no further round would go better
_FAILED_ROWS_BYTES = 1024 * 1024  # of the ResultWriter's FAILED files, to say why entries are unfinished
_MAX_MESSAGE_CHARACTERS = 500
_BETWEEN_ROWS = " \t\r\n,[]"
_row_decoder = json.JSONDecoder()


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
    after = _account(before, job, ledger, read_work(storage, home, before.round) if ran else [])
    reason = _reason_to_stop(event, before, after, job, storage)
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
    predictions, failures = _parts(ledger.commits)
    storage.write(home + "parts.jsonl", msgspec.json.Encoder().encode_lines([*predictions, *failures]))
    summary = _summary(
        before,
        after,
        job,
        ledger,
        reason=reason,
        memory_mb=memory_mb,
        rounds=before.round + ran,
        region=region,
        others=Others(*_others(before, meter).values()),
    )
    summary["replays"] = told_of_replays(storage, results_bucket, home)
    _remove_orphans(storage, home, ledger.commits)
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


class _Accounted(msgspec.Struct, frozen=True, kw_only=True):
    """A round, counted: items decided over all, this round's entries and what became of them."""

    decided: int
    entries: int
    died: int
    unfinished: int
    stalled: int
    next_entries: tuple[Entry, ...]


def _account(before: Round, job: Job, ledger: Walk, entries: Sequence[Entry]) -> _Accounted:
    attempts = {entry.entry: entry.attempt for entry in entries}
    decided = job.total - sum(entry.count for entry in ledger.left)
    next_entries, unfinished = [], 0
    for entry in ledger.left:
        if entry.entry in attempts:  # was tried, and nobody committed it
            unfinished += 1
            next_entries.append(msgspec.structs.replace(entry, attempt=attempts[entry.entry] + 1))
        else:
            next_entries.append(entry)
    died = sum(1 for commit in ledger.commits if commit.died and commit.entry in attempts)
    got_somewhere = decided > before.decided or died > 0
    return _Accounted(
        decided=decided,
        entries=len(entries),
        died=died,
        unfinished=unfinished,
        stalled=0 if got_somewhere else before.stalled + 1,
        next_entries=tuple(next_entries),
    )


def _reason_to_stop(
    event: Mapping[str, Any], before: Round, after: _Accounted, job: Job, storage: Storage
) -> str | None:
    """Why no further round may run although work is left; None while one may."""
    if before.stop is not None:
        return f"{before.stop.get('Error')}: {_message_of(before.stop.get('Cause'))}"
    errors = _errors_of_children(event, storage) if after.unfinished else Counter()
    final = next((text for text in errors if text.startswith(tuple(f"{e}: " for e in FINAL_ERRORS))), None)
    if final:
        return final
    if _most_died(after.entries, after.died - job.suspects):
        return (
            f"{after.died} of {after.entries} invocations of round {before.round} died;"
            " give PredictBatch more memory or a longer timeout, or look at the model"
        )
    rounds = before.round + 1 - before.first_round
    last = after.stalled >= limits.MAX_STALLED_ROUNDS or rounds >= limits.MAX_ROUNDS
    if last and after.next_entries:
        why = (
            "; ".join(f"{text} ({n} entries)" for text, n in errors.most_common(3)) or "no error was reported"
        )
        return f"after {before.round + 1} rounds {len(after.next_entries)} entries are unfinished: {why}"
    return None


def _most_died(entries: int, died: int) -> bool:
    """Whether cutting on would only find what is already clear: it is not single items that kill.

    A few entries may die together by chance, so the rule asks for more than half of eight or more, or for all
    of four or more (one entry, cut in four, that dies in every part). `died` are those that no suspect of a replay
    may have killed.
    """
    if entries >= 8:
        return died * 2 > entries
    return entries >= limits.CUT_INTO and died == entries


def _errors_of_children(event: Mapping[str, Any], storage: Storage) -> Counter[str]:
    """Why children failed, `Error: message` → count, from the first rows of the ResultWriter's files."""
    details = (event.get("map_run") or {}).get("ResultWriterDetails")
    if not details:
        return Counter()
    try:
        manifest = msgspec.json.decode(storage.read(f"s3://{details['Bucket']}/{details['Key']}"))
        files = manifest["ResultFiles"]["FAILED"][:1]
        text = b"".join(
            storage.read(f"s3://{details['Bucket']}/{file['Key']}", 0, min(file["Size"], _FAILED_ROWS_BYTES))
            for file in files
        )
    except (FileNotFoundError, PermissionError, KeyError, TypeError, msgspec.DecodeError):
        return Counter()  # it only explains; the commits are what counts
    return Counter(
        f"{row.get('Error') or row.get('Status')}: {_message_of(row.get('Cause'))}"
        for row in _rows(text.decode("utf-8", "replace"))
    )


def _rows(text: str) -> Iterator[dict[str, Any]]:
    """The whole rows of a result file, JSON lines or one JSON array, that may have been read in part."""
    at = 0
    while True:
        while at < len(text) and text[at] in _BETWEEN_ROWS:
            at += 1
        try:
            row, at = _row_decoder.raw_decode(text, at)
        except ValueError:  # the end, or where the part that was read ends
            return
        if isinstance(row, dict):
            yield row


def _message_of(cause: str | None) -> str:
    """The message in the cause of an error, as it may be told."""
    message = message_of_cause(cause) if cause else "no cause given"
    return redacted(message, _MAX_MESSAGE_CHARACTERS)


def _parts(commits: Sequence[Commit]) -> tuple[list[Part], list[Part]]:
    """The parts that count, in index order."""
    predictions = sorted((c.predictions for c in commits if c.predictions), key=lambda part: part.first)
    failures = sorted((c.failures for c in commits if c.failures), key=lambda part: part.first)
    return predictions, failures


def _remove_orphans(storage: Storage, home: str, commits: Sequence[Commit]) -> None:
    """Remove the parts of decided entries that their commits do not name.

    Parts of an entry that nobody has decided stay: whoever wrote them may be about to.
    """
    prefix = Location.parse(home).key
    decided = {commit.entry for commit in commits}
    counted = {part.key for commit in commits for part in (commit.predictions, commit.failures) if part}
    for folder in ("predictions/", "failures/"):
        for found in list(storage.list(home + folder)):
            key = found.key.removeprefix(prefix)
            entry = key.removeprefix(folder).partition("-")[0]  # of ENTRY-REQUEST_ID.jsonl
            if entry in decided and key not in counted:
                storage.delete(home + key)


def _summary(
    before: Round,
    after: _Accounted,
    job: Job,
    ledger: Walk,
    *,
    reason: str | None,
    memory_mb: int,
    rounds: int,
    region: str | None,
    others: Others,
) -> dict[str, Any]:
    commits = ledger.commits
    predicted = sum(commit.predicted for commit in commits)
    dead_lettered = sum(commit.dead_lettered for commit in commits)
    failures: Counter[str] = Counter()
    for commit in commits:
        failures.update(commit.failures_by_error)
    missing = job.total - predicted - dead_lettered
    status, why = _verdict(job, predicted, dead_lettered, missing, failures)
    invocations = [commit.invocation for commit in commits]
    unfinished = before.unfinished + after.unfinished
    usage = usage_of_job(
        job, commits, memory_mb=memory_mb, rounds=rounds, unfinished=unfinished, others=others
    )
    prices = prices_of(region)
    started, ended = datetime.fromisoformat(before.started_at), datetime.now(UTC)
    duration_s = max((ended - started).total_seconds(), 0.001)
    return {
        "fanwise": fanwise.__version__,
        "job_id": job.job_id,
        "execution": before.execution,
        "parent": job.parent,
        "name": job.name,
        "status": status,
        "reason": reason if reason and status == "FAILED" else why,
        "model": {
            "name": job.model.name,
            "version": job.model.version,
            "digest": job.model.digest,
            "runtime": job.model.runtime,
        },
        "items_uri": job.items_uri,
        "items": {
            "total": job.total,
            "predicted": predicted,
            "dead_lettered": dead_lettered,
            "missing": missing,
            "duplicated": 0,
        },
        "entries": {
            "planned": ledger.planned,
            "cut": sum(len(commit.rest) for commit in commits),
            "died": sum(1 for commit in commits if commit.died),
        },
        "rounds": rounds,
        "invocations": len(commits) + unfinished,
        "cold_starts": sum(invocation.cold for invocation in invocations),
        "started_at": before.started_at,
        "ended_at": moment_text(ended),
        "duration_s": round(duration_s, 3),
        "items_per_s": round((after.decided - before.decided_before) / duration_s, 1),
        "billed_gb_s": round(usage.gb_s, 3),
        "cost_usd": price(usage, prices).described(prices),
        "duration_parts_s": parts_of_duration(commits),
        "estimate": job.estimate,
        "latency_ms": _percentiles([billed_ms(invocation) for invocation in invocations]),
        "failures": dict(sorted(failures.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def _verdict(
    job: Job, predicted: int, dead_lettered: int, missing: int, failures: Counter[str]
) -> tuple[str, str | None]:
    if missing:
        return "FAILED", f"{missing} of {job.total} items were not tried to the end; resume takes them up"
    if dead_lettered == 0:
        return "SUCCEEDED", None
    most = ", ".join(f"{error} {n}" for error, n in failures.most_common(3))
    if predicted == 0:
        return "FAILED", f"none of {job.total} items could be predicted ({most})"
    percentage = 100 * dead_lettered / job.total
    if percentage > job.tolerated_failure_percentage:
        return "FAILED", (
            f"{dead_lettered} of {job.total} items ({_above(percentage, job.tolerated_failure_percentage)} %) are"
            f" dead letters ({most}); {job.tolerated_failure_percentage:.15g} % are tolerated"
        )
    return "PARTIALLY_FAILED", None


def _above(percentage: float, tolerated: float) -> str:
    """A percentage in as few digits as still say that it is above the other: 10.004 is not 10."""
    texts = (f"{percentage:.{digits}g}" for digits in range(3, 18))
    return next((text for text in texts if float(text) > tolerated), repr(percentage))


def _percentiles(values: Sequence[int]) -> dict[str, int]:
    """p50, p95 and p99 of the invocations' billed milliseconds, by nearest rank."""
    ranked = sorted(values) or [0]
    return {f"p{p}": ranked[max(-(-len(ranked) * p // 100) - 1, 0)] for p in (50, 95, 99)}
