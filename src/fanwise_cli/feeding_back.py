"""`fanwise profile JOB`: what a job's invocations measured becomes its model's profile, for the next estimate.

Of a job of this machine it is that of the prepared bundle, and of the job's own; `stack.feeding_back` has stacks.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from fanwise.commits import read_job, walk
from fanwise.errors import BundleError, InputError, JobError
from fanwise.model.bundle import PROFILE_FILE
from fanwise.model.profile import MeasuredOn, Profile, RuntimeProfile, read_profile
from fanwise.reckoning.feedback import fed_back
from fanwise.records import Commit, Job, home_of
from fanwise.storage import Storage
from fanwise_cli.collecting import write_whole
from fanwise_cli.home import find_job
from fanwise_cli.measuring import this_machine
from fanwise_cli.settings import cache_dir
from fanwise_cli.terminal import JobConsole, for_results, print_document
from fanwise_local.mounts import Mounts
from fanwise_local.template import read_stack, stack_root


def profile_here(given: str, *, as_json: bool) -> None:
    """Feed a job of this machine back. Raises `InputError`."""
    home, held = find_job(given, Path())
    stack = read_stack(stack_root())
    mounts = Mounts.of(stack, work_dir=home.work_dir, folders=[], roots=())
    storage = mounts.storage()
    job_home = home_of(stack.buckets["ResultsBucket"], held.job_id)
    job, commits = measured_by(storage, job_home, held.job_id)
    measured_on = msgspec.structs.replace(this_machine(), job_id=job.job_id)
    memory_mb = stack.functions["PredictBatchLiteRTFunction"].memory_mb
    published = mounts.folder_of(stack.buckets["ModelBucket"]) / job.model.uri.split("/", 3)[3] / PROFILE_FILE
    kept = cache_dir() / "bundles" / job.model.digest.removeprefix("sha256:") / PROFILE_FILE
    text = next((path.read_bytes() for path in (kept, published) if path.exists()), None)
    profile, fed = fed_into(text, job, commits, measured_on, memory_mb, tells_invocation=False)
    for path in (kept, published):
        if path.parent.is_dir():
            write_whole(path, msgspec.json.encode(profile))
    tell(job, fed, as_json=as_json)


def measured_by(storage: Storage, home: str, name: str) -> tuple[Job, Sequence[Commit]]:
    """A job and what its invocations left. Raises `InputError`."""
    try:
        return read_job(storage, home), walk(storage, home).commits
    except FileNotFoundError as error:
        raise InputError(f"{name}: has no plan yet, so nothing was measured") from error


def fed_into(
    text: bytes | None,
    job: Job,
    commits: Sequence[Commit],
    measured_on: MeasuredOn,
    memory_mb: int,
    *,
    tells_invocation: bool,
) -> tuple[Profile, RuntimeProfile]:
    """The bundle's profile with what the job measured in it. Raises `JobError` where it measured nothing."""
    try:
        before = Profile(runtimes={}) if text is None else read_profile(text, PROFILE_FILE)
    except BundleError:
        before = Profile(runtimes={})
    fed = fed_back(
        before.runtimes.get(job.model.runtime),
        commits,
        measured_on,
        memory_mb=memory_mb,
        tells_invocation=tells_invocation,
    )
    if fed is None:
        raise JobError(f"{job.job_id}: no invocation of it predicted anything, so there is nothing to go by")
    return Profile(runtimes={**before.runtimes, job.model.runtime: fed}), fed


def tell(job: Job, fed: RuntimeProfile, *, as_json: bool) -> None:
    """Say what the model's profile is now."""
    model = f"{job.model.name}@{job.model.version}"
    if as_json:
        profile = msgspec.json.decode(msgspec.json.encode(fed))  # whose keys are text
        print_document({"model": model, "runtime": job.model.runtime, "profile": profile})
        return
    console: JobConsole = for_results()
    console.tell(f"{model} ({job.model.runtime}) is now measured on {fed.measured_on.headline}", wrap=True)
    console.tell(
        f"  a cold start {fed.cold_ms / 1000:.1f} s, an invocation {fed.invocation_ms:.0f} ms and"
        f" {fed.item_ms_at(1):.2f} ms an item, at one vCPU",
        wrap=True,
    )
