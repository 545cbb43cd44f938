"""A job that is planned, gone on with: what has no commit is the next round that no execution has used."""

import re

import msgspec

from fanwise.commits import read_work, walk, work_key, write_work
from fanwise.errors import JobError
from fanwise.planning.claim import PlanEvent, claim, planned
from fanwise.planning.probing import probe_of
from fanwise.planning.start import Resume
from fanwise.records import Entry, Job, Round, home_of, job_prefix
from fanwise.storage import Storage

_work_file = re.compile(r"work/(\d+)\.jsonl$")


def resume_job(resume: Resume, asked: PlanEvent, storage: Storage, bucket: str) -> Round:
    """Go on with a job by its id; nothing that has a commit is done again. Raises `JobError`."""
    home = home_of(bucket, resume.resume)
    job = planned(storage, home)
    if job is None:
        raise JobError(
            f"job {resume.resume!r} was never planned in {bucket}, so there is nothing to go on with;"
            f" check the id, or start it again from its manifest"
        )
    claim(storage, bucket, job.job_id, asked, take_over=True)
    return round_of_the_rest(storage, home, job, asked, resume.max_concurrency or job.max_concurrency)


def round_of_the_rest(storage: Storage, home: str, job: Job, asked: PlanEvent, max_concurrency: int) -> Round:
    """What has no commit, as a round."""
    left = walk(storage, home).left
    last = last_round(storage, home)
    attempts = {entry.entry: entry.attempt for entry in read_work(storage, home, last)}
    entries = [_tried_again(entry, attempts.get(entry.entry)) for entry in left]
    decided = job.total - sum(entry.count for entry in entries)
    write_work(storage, home, last + 1, entries)
    return Round(
        job_id=job.job_id,
        duplicate=False,
        round=last + 1,
        entries=len(entries),
        work_key=job_prefix(job.job_id) + work_key(last + 1),
        runtime=job.model.runtime,
        max_concurrency=max_concurrency,
        wait_s=0,
        decided=decided,
        stalled=0,
        started_at=asked.started_at,
        execution=asked.execution,
        decided_before=decided,
        first_round=last + 1,
        probe=None if decided else probe_of(storage, home, job),  # what stopped it before may stop it again
    )


def _tried_again(entry: Entry, last_attempt: int | None) -> Entry:
    """One attempt further, if the last round had the entry; else it has not been tried as it is."""
    return entry if last_attempt is None else msgspec.structs.replace(entry, attempt=last_attempt + 1)


def last_round(storage: Storage, home: str) -> int:
    """The last round that has a work file."""
    found = (_work_file.search(info.key) for info in storage.list(home + "work/"))
    return max(int(match[1]) for match in found if match)
