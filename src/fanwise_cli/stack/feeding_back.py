"""`fanwise profile JOB` of a stack: the published profile.json is replaced.

By a conditional write: two who do it at once do not undo each other's runtime.
"""

from datetime import UTC, datetime

import msgspec

import fanwise
from fanwise.errors import JobError
from fanwise.limits import VCPU_MB
from fanwise.model.bundle import PROFILE_FILE
from fanwise.model.profile import MeasuredOn
from fanwise.records import moment_text
from fanwise_cli.feeding_back import fed_into, measured_by, tell
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.jobs import find_planned

TRIES = 5  # against others who replace the same profile


def profile_there(given: str, stack: DeployedStack, *, as_json: bool) -> None:
    """Feed a job of a stack back, into the published bundle. Raises `InputError`."""
    found, home = find_planned(stack, given)
    job, commits = measured_by(stack.storage, home, found.name)
    measured_on = MeasuredOn(
        kind="lambda",
        name=stack.place.region,
        cores=max(1, round(stack.size.memory_mb / VCPU_MB)),
        system="Linux x86_64",
        fanwise=fanwise.__version__,
        at=moment_text(datetime.now(UTC)),
        job_id=job.job_id,
        memory_mb=stack.size.memory_mb,
    )
    key = f"{job.model.uri.split('/', 3)[3]}/{PROFILE_FILE}"
    for _ in range(TRIES):
        text, version = _published(stack, key)
        profile, fed = fed_into(text, job, commits, measured_on, stack.size.memory_mb, tells_invocation=True)
        if _replace(stack, key, msgspec.json.encode(profile), version):
            tell(job, fed, as_json=as_json)
            return
    raise JobError(
        f"{key}: was replaced by others {TRIES} times while it was worked on; try again when they are done"
    )


def _published(stack: DeployedStack, key: str) -> tuple[bytes | None, str | None]:
    try:
        found = stack.s3.get_object(Bucket=stack.model_bucket, Key=key)
    except stack.s3.exceptions.NoSuchKey:
        return None, None
    return found["Body"].read(), found["ETag"]


def _replace(stack: DeployedStack, key: str, body: bytes, version: str | None) -> bool:
    """Write the profile, if it is still the one that was read (conditional-writes)."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only where AWS is talked to

    condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
    try:
        stack.s3.put_object(Bucket=stack.model_bucket, Key=key, Body=body, **condition)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
            return False
        raise
    return True
