"""`fanwise resume` and `fanwise replay`: a job that OUT holds, gone on with, or its dead letters tried again.

All that they need lies in OUT: the plan, the model that was published into it, and which folders the items were
read from. What runs is the deployed definition, started by the job's id (`fanwise.planning.start`).
"""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from fanwise.errors import InputError, JobError
from fanwise.planning.plan import pin_job
from fanwise.records import home_of
from fanwise.replays import read_summary, replays_of
from fanwise_cli.advice import can_be_resumed, remedy_of_missing
from fanwise_cli.exit_codes import EXIT_OK
from fanwise_cli.home import JobHome, find_job
from fanwise_cli.mending import Mended
from fanwise_cli.preparation import HowToRun, Prepared, publish_model, unusable_paths_are_input
from fanwise_cli.run import RunResult, run_prepared, tell_summary
from fanwise_cli.summary import next_steps
from fanwise_cli.terminal import JobConsole, print_document
from fanwise_local.mounts import Mounts
from fanwise_local.template import Stack, read_stack, stack_root


class _Held:
    """A job of this machine and its cloud's folders, as its home remembers them."""

    def __init__(self, home: JobHome) -> None:
        held = home.job()
        if held is None or not held.start:
            raise InputError(f"{home.out}: holds no job that could be gone on with; run fanwise run again")
        self.home = home
        self.job = held
        self.stack: Stack = read_stack(stack_root())
        for bucket, path in held.folders.items():
            if not Path(path).is_dir():
                raise InputError(
                    f"{path}: the folder that the job reads as s3://{bucket}/ is gone; put it back"
                )
        roots = [f"{bucket}={path}" for bucket, path in held.folders.items()]
        self.mounts = Mounts.of(self.stack, work_dir=home.work_dir, folders=[], roots=roots)

        self._results = Prepared(self.stack, self.mounts, {}, home.out).results_bucket()

    def summary(self, job_id: str) -> dict[str, Any] | None:
        """The summary of a job that has ended."""
        return read_summary(self._results, home_of("results", job_id))

    def start_from_the_beginning(self) -> dict[str, Any]:
        """What plans the job; raises `InputError` where that would be another job by now."""
        models = self.stack.buckets["ModelBucket"]
        pinned = pin_job(
            self.job.start, self.mounts.storage(), model_bucket=models, readable=self.mounts.readable()
        )
        if pinned.job_id != self.job.job_id:
            raise InputError(
                f"{self.home.out}: was interrupted before it had a plan, and its items have changed since;"
                f" run fanwise run again, with another --out"
            )
        return self.job.start

    def replays(self) -> tuple[str, ...]:
        """The job's replays, as the results bucket has them."""
        return tuple(replays_of(self._results, home_of("results", self.job.job_id)))

    def prepared(self, start: dict[str, Any], number: int) -> Prepared:
        """A start of this cloud; `number` is the replay's, 0 for the job itself."""
        results = self.home.replay_folder(number) if number else self.home.out
        return Prepared(self.stack, self.mounts, start, results)

    def mend(self, job_id: str, console: JobConsole) -> Mended:
        """Look through what is there of the job or a replay. Raises `InputError`."""
        start = self.job.start if job_id == self.job.job_id else None
        return self.prepared({}, 0).mend(self.home.work_dir, job_id, start, console)

    def is_planned(self, job_id: str) -> bool:
        """Whether the plan of a job is there."""
        return (self.prepared({}, 0).jobs_folder / job_id / "job.json").exists()

    def remember_replays(self) -> None:
        """Write the replays into home.json, and bring the parent's summary home, which tells of them."""
        self.home.write(msgspec.structs.replace(self.job, replays=self.replays()))
        folder = self.prepared({}, 0).jobs_folder / self.job.job_id
        if (folder / "parts.jsonl").exists():
            self.home.collect(folder)


def resume(job: str, *, max_concurrency: int | None, how: HowToRun, console: JobConsole) -> RunResult:
    """Try what has no commit, of the job's last replay or of the job itself. Raises `InputError`."""
    home, _ = find_job(job, Path())
    with home.held(), unusable_paths_are_input():
        held = _Held(home)
        replays = held.replays()
        ids = [held.job.job_id, *replays]
        number = len(replays)
        if job in ids:  # a replay's own id, or the job's, was asked for
            number = ids.index(job)
        job_id = ids[number]
        mended = held.mend(job_id, console)
        summary = held.summary(job_id)
        if (
            summary is not None
            and not summary["items"]["missing"]
            and mended.is_whole
            and _are_there(held, number)
            and home.are_whole(mended.size_bytes, console, held.prepared({}, number).results)
        ):
            if not how.quiet:
                console.tell(
                    f"every item of {job_id} was tried to its end; there is nothing to resume", "dim"
                )
            return tell_summary(how, summary, held.prepared({}, number).results, home=home.out)
        start: dict[str, Any] = {"resume": job_id}
        if max_concurrency is not None:
            start["max_concurrency"] = max_concurrency
        if not held.is_planned(job_id):
            start = held.start_from_the_beginning()
        prepared, quoted = held.prepared(start, number), shlex.quote(str(home.out))
        result = run_prepared(how, home, prepared, console, goes_on=lambda: f"fanwise resume {quoted}")
        if number:
            held.remember_replays()
        return result


def _are_there(held: _Held, number: int) -> bool:
    """Whether the results have been brought home."""
    folder = held.prepared({}, number).results
    return all((folder / name).exists() for name in ("predictions.jsonl", "failures.jsonl", "summary.json"))


def replay(
    job: str,
    *,
    model: Path | None,
    batch_size: int | None,
    max_concurrency: int | None,
    how: HowToRun,
    console: JobConsole,
) -> RunResult:
    """Try the dead letters that the job and its replays left again, as a job of their own. Raises `InputError`."""
    home, _ = find_job(job, Path())
    with home.held(), unusable_paths_are_input():
        held = _Held(home)
        last = [held.job.job_id, *held.replays()][-1]
        held.mend(last, console)  # then it has no summary until it is resumed
        summary = held.summary(last)
        if summary is None or summary["items"]["missing"]:
            raise JobError(
                f"{home.out}: {last} has not been tried to its end, so its dead letters are not known yet;"
                f" {_first(summary, home)}"
            )
        if not summary["items"]["dead_lettered"]:
            if not how.quiet:
                console.tell(f"{home.out}: no dead letters are left; there is nothing to replay", "dim")
            if how.as_json:
                print_document(summary)
            return RunResult(EXIT_OK, summary)
        said = {"batch_size": batch_size, "max_concurrency": max_concurrency}
        start: dict[str, Any] = {"replay": held.job.job_id, "resume": True}
        start |= {key: value for key, value in said.items() if value is not None}
        prepared = held.prepared(start, len(held.replays()) + 1)
        if model is not None:
            reference, notes = publish_model(model, held.stack, held.mounts, console, quiet=how.is_silent)
            prepared = replace(prepared, start={**start, "model": reference}, notes=notes)
        before, quoted = len(held.replays()), shlex.quote(str(home.out))

        def goes_on() -> str:
            """Until its plan is whole the replay is none of the job's, and there is nothing to resume."""
            return f"fanwise {'resume' if len(held.replays()) > before else 'replay'} {quoted}"

        result = run_prepared(how, home, prepared, console, goes_on=goes_on)
        held.remember_replays()
        return result


def _first(summary: dict[str, Any] | None, home: JobHome) -> str:
    """What can be done about what is missing, before anything is replayed."""
    if summary is None or can_be_resumed(remedy_of_missing(summary["reason"])):
        return f"go on with it first: fanwise resume {shlex.quote(str(home.out))}"
    return "; ".join(next_steps(summary, home.out, home.out).values())
