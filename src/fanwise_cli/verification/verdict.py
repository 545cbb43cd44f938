"""What summary.json says beside its counts, worked out again from the plan, the commits and the lines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fanwise.aggregation.recomputed import difference_in
from fanwise.aggregation.summary import percentiles, verdict
from fanwise.pricing import billed_ms
from fanwise.records import Commit, Job
from fanwise_cli.verification.ledger import Statements


def other_verdict(
    summary: Mapping[str, Any],
    job: Job,
    says: Statements,
    counts: tuple[int, int, int],
    errors: Counter[str],
) -> Iterator[str]:
    """What is wrong with a summary, in words; `counts` are the predicted, dead-lettered and missing items."""
    expected: dict[str, Any] = {
        "job_id": job.job_id,
        "parent": job.parent,
        "name": job.name,
        "items_uri": job.items_uri,
        "estimate": job.estimate,
        "model": {
            "name": job.model.name,
            "version": job.model.version,
            "digest": job.model.digest,
            "runtime": job.model.runtime,
        },
    }
    if says.ledger is not None:
        commits = says.ledger.commits
        expected["entries"] = {
            "planned": says.ledger.planned,
            "cut": sum(len(commit.rest) for commit in commits),
            "died": sum(1 for commit in commits if commit.died),
        }
        expected["cold_starts"] = sum(commit.invocation.cold for commit in commits)
        expected["latency_ms"] = percentiles([billed_ms(commit.invocation) for commit in commits])
    for name, value in expected.items():
        if summary.get(name) != value:
            yield f"summary.json says {name!r} {summary.get(name)!r}; it is {value!r}"
    yield from _other_status(summary, job, counts, errors)


def _other_status(
    summary: Mapping[str, Any], job: Job, counts: tuple[int, int, int], errors: Counter[str]
) -> Iterator[str]:
    status, why = verdict(job, *counts, errors)
    try:
        if difference_in(summary.get("recomputed")) is not None:
            status = "FAILED"
    except (KeyError, IndexError, TypeError):
        yield "summary.json has a 'recomputed' that cannot be read"
    said, reason = summary.get("status"), summary.get("reason")
    if said != status:
        yield f"summary.json says status {said!r}; by the lines it is {status!r}{f': {why}' if why else ''}"
    elif (reason is None) != (status != "FAILED"):
        yield f"summary.json says reason {reason!r}, and status {status!r}"


def other_counts(commit: Commit, entries: Mapping[str, Any]) -> Iterator[str]:
    """What a commit says that does not fit together."""
    key = f"commits/{commit.entry}.json"
    for what, count, part in (
        ("predicted", commit.predicted, commit.predictions),
        ("dead-lettered", commit.dead_lettered, commit.failures),
    ):
        if count != (part.count if part is not None else 0):
            yield f"{key} says {count} {what}, and its part has {part.count if part is not None else 'none'}"
    if sum(commit.failures_by_error.values()) != commit.dead_lettered:
        yield f"{key} counts {dict(commit.failures_by_error)} of {commit.dead_lettered} dead letters"
    first = entries[commit.entry].first + commit.predicted + commit.dead_lettered
    for rest in commit.rest:
        if rest.first != first:
            yield f"{key} leaves over {rest.entry} from item {rest.first} on, and item {first} is next"
        first += rest.count


def gaps(planned: Sequence[Any], job: Job) -> Iterator[str]:
    """What the planned entries leave out or have twice."""
    first, start = 0, None
    for entry in planned:
        if entry.first != first or (start is not None and entry.start != start):
            yield (
                f"work/0.jsonl has entry {entry.entry} from item {entry.first} and byte {entry.start} on;"
                f" item {first} and byte {start} are next"
            )
            return
        first, start = first + entry.count, entry.end
    if len(planned) != job.entries:
        yield f"job.json says {job.entries} entries, and work/0.jsonl has {len(planned)}"
