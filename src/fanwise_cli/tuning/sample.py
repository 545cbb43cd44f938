"""The items of a tuning: planned by PlanJob as a job of its own for each runtime, and cut into batches to try.

Nobody runs these jobs: each try invokes PredictBatch with an entry that no plan has, and PredictBatch does with it
what it does with any. What that leaves behind is removed with the job.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any

import msgspec

from fanwise.commits import read_commit, read_job
from fanwise.errors import FanwiseError, InputError
from fanwise.items.cutting import cut_entries
from fanwise.items.readable import Readable
from fanwise.limits import MAX_BATCH_SIZE
from fanwise.model.bundle import DIGEST_FILE, MODEL_PREFIX, profile_of, read_digest, resolve
from fanwise.model.profile import RuntimeProfile
from fanwise.planning.plan import pin_job, plan_job
from fanwise.records import Commit, Entry, Job, Runtime, execution_key, home_of, moment_text
from fanwise.storage import Storage
from fanwise_cli.interruption import uninterrupted

BATCHES_OF_A_SIZE = 3  # that a try may have, so that not all repeats are of the same items


@dataclass(frozen=True)
class Buckets:
    """Where a tuning's jobs, items and models are."""

    storage: Storage
    models: str
    results: str
    readable: Readable


@dataclass
class Sample:
    """The planned jobs. Entries have names of their own, none twice."""

    buckets: Buckets
    jobs: Mapping[Runtime, Job]
    profiles: Mapping[Runtime, RuntimeProfile | None]
    begin: int
    first_line: int
    _numbers: Iterator[int] = field(default_factory=count)
    _cut: dict[int, list[Entry]] = field(default_factory=dict)

    @property
    def job(self) -> Job:
        """One of the jobs: their items are the same."""
        return next(iter(self.jobs.values()))

    def entries(self, batch_size: int) -> list[Entry]:
        """The first batches of so many items; none where there are no such."""
        if batch_size not in self._cut:
            items = self.job.items
            chunks = self.buckets.storage.stream(items.uri, items.pin(), start=self.begin)
            cut = cut_entries(chunks, items.kind, batch_size, start=self.begin, first_line=self.first_line)
            first = islice(cut, BATCHES_OF_A_SIZE)
            self._cut[batch_size] = [entry for entry in first if entry.count == batch_size]
        return self._cut[batch_size]

    def largest(self) -> int:
        """The largest batch that there is: of all items, or as many as each of the first entries may hold."""
        items = self.job.items
        chunks = self.buckets.storage.stream(items.uri, items.pin(), start=self.begin)
        cut = cut_entries(chunks, items.kind, MAX_BATCH_SIZE, start=self.begin, first_line=self.first_line)
        counts = [entry.count for entry in islice(cut, BATCHES_OF_A_SIZE)]
        return min(counts[:-1] or counts)  # the last one may have what was left over

    def event(self, runtime: Runtime, entry: Entry) -> tuple[dict[str, Any], str]:
        """What PredictBatch is given for a try of an entry, and the name under which it commits."""
        name = f"tune-{next(self._numbers)}"
        renamed = msgspec.structs.replace(entry, entry=name)
        return {"job_id": self.jobs[runtime].job_id, "entry": msgspec.to_builtins(renamed)}, name

    def commit(self, runtime: Runtime, name: str) -> Commit | None:
        """What a try has left."""
        home = home_of(self.buckets.results, self.jobs[runtime].job_id)
        return read_commit(self.buckets.storage, home, name)


def runtimes_of(buckets: Buckets, model: str) -> tuple[Runtime, ...]:
    """The runtimes that a published model is made for, the best first. Raises `BundleError`."""
    resolve(buckets.storage, buckets.models, model)
    where = f"s3://{buckets.models}/{MODEL_PREFIX}{model.replace('@', '/')}/{DIGEST_FILE}"
    return read_digest(buckets.storage.read(where), where).runtimes


@contextmanager
def planned(
    buckets: Buckets,
    manifest: Mapping[str, Any],
    runtimes: tuple[Runtime, ...],
    left: Callable[[str], None] = lambda _: None,
) -> Iterator[Sample]:
    """Plan a job for each runtime; gone with all that they were given when it ends.

    What cannot be removed is told to `left`. Raises `InputError`.
    """
    run = f"tune-{time.time_ns():x}"
    jobs: dict[Runtime, Job] = {}
    job_ids: list[str] = []
    begin, first_line = 0, 1
    try:
        for runtime in runtimes:
            start = {"manifest": {**manifest, "runtime": runtime}, "run": run}
            pinned = pin_job(start, buckets.storage, model_bucket=buckets.models, readable=buckets.readable)
            begin, first_line = pinned.items.begin, pinned.items.first_line
            job_ids.append(pinned.job_id)
            event = {
                "execution": f"{run}-{runtime}",
                "started_at": moment_text(datetime.now(UTC)),
                "start": start,
            }
            plan_job(
                event,
                buckets.storage,
                model_bucket=buckets.models,
                results_bucket=buckets.results,
                readable=buckets.readable,
            )
            jobs[runtime] = read_job(buckets.storage, home_of(buckets.results, pinned.job_id))
        if not all(job.total for job in jobs.values()):
            raise InputError(f"{manifest['items']}: has no items to try; give a sample of real ones")
        profiles = {runtime: profile_of(buckets.storage, job.model) for runtime, job in jobs.items()}
        yield Sample(buckets, jobs, profiles, begin, first_line)
    finally:
        with uninterrupted():
            records = [f"s3://{buckets.results}/{execution_key(f'{run}-{runtime}')}" for runtime in runtimes]
            for what in (*(home_of(buckets.results, job_id) for job_id in job_ids), *records):
                try:
                    _remove(buckets, what)
                except (FanwiseError, OSError) as error:
                    left(f"{what} could not be removed ({error}); give: aws s3 rm --recursive {what}")


def _remove(buckets: Buckets, uri: str) -> None:
    """Remove an object, or all below a URI that ends with a slash."""
    if uri.endswith("/"):
        for info in list(buckets.storage.list(uri)):
            buckets.storage.delete(f"s3://{buckets.results}/{info.key}")
    else:
        buckets.storage.delete(uri)
