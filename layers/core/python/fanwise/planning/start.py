"""What an execution was started with → what PlanJob is to do.

An event of S3 is an upload that starts a job (`uploads`). `{"manifest": "s3://…/job.json"}` or
`{"manifest": {…}}` is a job. Beside it: `scheduled_time` (a schedule's), `run` (text that makes another run of the
same items and model), `resume` (go on with that job if it is there). `{"resume": "JOB_ID"}` goes on with a job,
`{"replay": "JOB_ID"}` makes a job of its dead letters. Step Functions' own event of an execution that ended
(`ended`) asks to account for it.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from fanwise.errors import BadUri, ManifestError
from fanwise.items.manifest import check_keys, check_values, read_manifest
from fanwise.items.readable import Readable, check_readable
from fanwise.items.uris import absolute_uri, folder_of
from fanwise.limits import MAX_MANIFEST_BYTES
from fanwise.planning.uploads import S3, Upload, pin_upload, read_upload
from fanwise.records import Manifest
from fanwise.storage import ObjectInfo, Storage

WHERE = "the execution's input"
STATUS_CHANGE = "Step Functions Execution Status Change"  # the event's detail-type (eventbridge-integration)
_KEYS = ("manifest", "scheduled_time", "run", "resume")  # of a start that a person or a schedule makes
_JOB_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A job to plan, or one that may be there to go on with.

    `upload` is the version of what was uploaded to start it: of the items file, or of a folder's mark.
    """

    manifest: Manifest
    scheduled_time: str | None = None
    run: str | None = None
    resume: bool = False
    upload: ObjectInfo | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that was planned, to go on with; `max_concurrency` in place of the plan's."""

    resume: str
    max_concurrency: int | None = None


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job whose dead letters are to be tried again; everything else in place of the parent's.

    `resume`: go on with that replay if it is there, though another execution has it.
    """

    replay: str
    resume: bool = False
    model: str | None = None
    batch_size: int | None = None
    max_concurrency: int | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An execution that ended otherwise than well. Dates in milliseconds since the epoch."""

    execution_arn: str
    status: str
    start_date: int
    error: str | None = None
    cause: str | None = None


_Named = TypeVar("_Named", Resume, Replay)
_Read = TypeVar("_Read", Resume, Replay, Ended)


def read_start(given: object, storage: Storage, readable: Readable) -> Start | Resume | Replay | Ended:
    """Read the execution's input. Raises `ManifestError`, `LocationError`."""
    if not isinstance(given, Mapping):
        raise ManifestError(f'{WHERE} is no JSON object; start with {{"manifest": "s3://…/job.json"}}')
    if given.get("detail-type") == STATUS_CHANGE:
        return _converted(given.get("detail"), Ended)
    if given.get("source") == S3:
        return _of_upload(read_upload(given, readable, WHERE), storage)
    if "detail-type" in given:
        raise ManifestError(
            f"{WHERE}: an event {given['detail-type']!r} of {given.get('source')!r} starts no job;"
            f" check the pattern of the rule that sent it"
        )
    if "manifest" not in given and isinstance(given.get("resume"), str):
        return _of_job(given, "resume", Resume)
    if "replay" in given:
        return _of_job(given, "replay", Replay)
    check_keys(given, _KEYS, WHERE)
    for key, wanted in (("scheduled_time", str), ("run", str), ("resume", bool)):
        if not isinstance(given.get(key), wanted | None):
            kind = "text" if wanted is str else "true or false (or, without a manifest, the id of a job)"
            raise ManifestError(f'{WHERE}: "{key}" is {given[key]!r}; {kind}')
    return Start(
        manifest=_manifest(given.get("manifest"), storage, readable),
        scheduled_time=given.get("scheduled_time"),
        run=given.get("run"),
        resume=bool(given.get("resume")),
    )


def _of_upload(upload: Upload, storage: Storage) -> Start:
    """What was uploaded, as the job that it starts."""
    info = pin_upload(storage, upload)
    if upload.kind == "manifest":
        text = storage.read(upload.uri, 0, MAX_MANIFEST_BYTES + 1, info)
        return Start(manifest=read_manifest(text, upload.uri, folder_of(upload.uri)))
    items = folder_of(upload.uri) if upload.kind == "folder" else upload.uri
    return Start(manifest=read_manifest({"items": items, "model": upload.model}, upload.uri), upload=info)


def _of_job(given: Mapping[str, Any], key: str, kind: type[_Named]) -> _Named:
    """A start that names a job, whose id becomes part of keys."""
    check_keys(given, kind.__struct_fields__, WHERE)
    check_values({name: value for name, value in given.items() if value is not None}, WHERE)
    if not isinstance(given[key], str) or not _JOB_ID.fullmatch(given[key]):
        raise ManifestError(f'{WHERE}: "{key}" is {given[key]!r}; the id of a job, as its summary has it')
    return _converted(given, kind)


def _converted(given: Any, kind: type[_Read]) -> _Read:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise ManifestError(f"{WHERE}: {error}") from error


def _manifest(given: Any, storage: Storage, readable: Readable) -> Manifest:
    if isinstance(given, Mapping):
        return read_manifest(given, "manifest")
    if not isinstance(given, str):
        raise ManifestError(
            f'{WHERE}: "manifest" is the URI of a manifest, s3://…/job.json, or the manifest itself'
        )
    try:
        check_readable(absolute_uri(given, ""), readable)
    except BadUri as error:
        raise ManifestError(f'{WHERE}: "manifest": {error}') from error
    try:
        text = storage.read(given, 0, MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise ManifestError(f"{given}: there is no such manifest; check the URI") from error
    except PermissionError as error:
        raise ManifestError(f"{error}; the manifest may not be read, or is not there") from error
    return read_manifest(text, given, folder_of(given))
