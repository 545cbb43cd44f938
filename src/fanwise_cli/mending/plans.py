"""A job's plan, made again where job.json or work/0.jsonl are not what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fanwise.commits import work_key
from fanwise.errors import InputError, ItemsChanged
from fanwise.planning.plan import cut_again, plan_job
from fanwise.records import Entry, Job, execution_key, home_of
from fanwise_cli.mending.checks import Unusable, check_plan, decoded, decoded_lines
from fanwise_cli.mending.home_files import HomeFiles
from fanwise_local.mounts import Mounts
from fanwise_local.template import Stack

_JOB, _WORK, _ITEMS = "job.json", work_key(0), "items.jsonl"
_EXECUTION = (
    "fanwise:mending"  # in the claim of a job that is planned again, until an execution takes it over
)


@dataclass
class Planning:
    """A job of this machine; `start` is what plans it, None of a replay."""

    mounts: Mounts
    stack: Stack
    job_id: str
    files: HomeFiles
    start: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        self.storage = self.mounts.storage()
        self.results = self.stack.buckets["ResultsBucket"]
        self.home = home_of(self.results, self.job_id)

    def plan(self) -> tuple[Job, list[Entry]] | None:
        """The plan; None where the job was stopped before it had one. Raises `InputError`."""
        wrong: dict[str, str] = {}
        job = self._job(wrong)
        entries = self._entries(job, wrong)
        if job is None and not any(self.files.folder.glob("commits/*.json")):
            if self.files.has(_JOB) or self.files.has("map-run"):
                self.files.set_aside(_JOB)
                self.files.say(_JOB, wrong[_JOB], "the job is planned again")
            return None
        if job is not None and not self._has_its_items(job):
            wrong, job = {_ITEMS: "is not what was planned"}, None
        if job is None:
            job, entries = self._planned_again(wrong, entries)
        elif entries is None:
            self.files.set_aside(_WORK)
            try:
                cut_again(self.storage, self.home, job)
            except ItemsChanged as error:
                raise InputError(f"{self.files.path(_WORK)} {wrong[_WORK]}, and {error}") from error
            entries = decoded_lines(self.files.path(_WORK), Entry)
        for key, what in wrong.items():
            self.files.say(key, what, "the job is planned again")
        return job, entries

    def _job(self, wrong: dict[str, str]) -> Job | None:
        try:
            job = decoded(self.files.path(_JOB), Job)
            self.files.check_digest(_JOB)
        except Unusable as error:
            wrong[_JOB] = str(error)
            return None
        return job

    def _entries(self, job: Job | None, wrong: dict[str, str]) -> list[Entry] | None:
        try:
            entries = decoded_lines(self.files.path(_WORK), Entry)
            self.files.check_digest(_WORK)
            if job is not None:
                check_plan(job, entries)
        except Unusable as error:
            wrong[_WORK] = str(error)
            return None
        return entries

    def _has_its_items(self, job: Job) -> bool:
        """Whether items that were written into the job's home are what was planned; others are not looked at."""
        if not job.items.uri.startswith(self.home):
            return True
        try:
            self.storage.read(job.items.uri, 0, 0, job.items.pin())
        except ItemsChanged:
            return False
        return True

    def _planned_again(
        self, wrong: Mapping[str, str], entries: Sequence[Entry] | None
    ) -> tuple[Job, list[Entry]]:
        """Plan the job anew. Where it may be another plan, no entry keeps its commit."""
        what = "; ".join(f"{self.files.path(key)} {text}" for key, text in wrong.items())
        if self.start is None:
            self._forget_replay()
            raise InputError(f"{what}; the replay was set aside: fanwise replay begins it again")
        before = self.files.path(_WORK).read_bytes() if entries is not None else None
        for key in (_JOB, _WORK, _ITEMS):
            self.files.set_aside(key)
        manifest = dict(self.start["manifest"])
        if entries:
            manifest["batch_size"] = max(entry.count for entry in entries)
        answer = plan_job(
            {
                "execution": _EXECUTION,
                "started_at": "",
                "start": {**self.start, "manifest": manifest, "resume": True},
            },
            self.storage,
            model_bucket=self.stack.buckets["ModelBucket"],
            results_bucket=self.results,
            readable=self.mounts.readable(),
        )
        self.storage.delete(f"s3://{self.results}/{execution_key(_EXECUTION)}")
        if answer["job_id"] != self.job_id:
            raise InputError(
                f"{what}, and its items or model have changed since, so it cannot be planned again;"
                f" run fanwise run again into another --out, or here with --again"
            )
        if before is None or self.files.path(_WORK).read_bytes() != before:
            self.files.set_aside("commits")
        return decoded(self.files.path(_JOB), Job), decoded_lines(self.files.path(_WORK), Entry)

    def _forget_replay(self) -> None:
        """The parent's next replay is this one again."""
        for marker in self.files.folder.parent.glob(f"*/replays/*-{self.job_id}.json"):
            marker.unlink()
        self.files.set_aside("")
