"""What S3 tells of an upload, through EventBridge → what kind of start it is, and which version it is about.

Three prefixes start jobs (docs/design.md, "Where jobs start"); they are disjoint, so one upload starts one job. S3
tells of an upload at least once, and of several in any order: what counts is the version that the event names. A
late event plans its own upload, and a second delivery plans what the first one did. A folder has no version; the
mark that completes it has, and is read as it is now, so that whoever comes late plans what is there.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from fanwise.errors import BadUri, ManifestError
from fanwise.items.folder import SUCCESS
from fanwise.items.readable import Readable, why_not_readable
from fanwise.items.uris import absolute_uri
from fanwise.storage import UNVERSIONED, ObjectInfo, Storage

S3, OBJECT_CREATED = "aws.s3", "Object Created"  # source and detail-type (ev-events)
JOBS, INBOX, FOLDERS = "jobs/", "inbox/", "folders/"

Kind = Literal["manifest", "items", "folder"]


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An object that was uploaded. `model` is what its key names (not of a manifest), `etag` without quotes."""

    uri: str
    kind: Kind
    model: str
    etag: str
    version_id: str | None


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct, rename="kebab"):
    key: str  # raw, unlike in S3's own notifications
    etag: str = ""
    version_id: str | None = None


class _Detail(msgspec.Struct):
    bucket: _Bucket
    object: _Object


def read_upload(event: Mapping[str, Any], readable: Readable, where: str) -> Upload:
    """The upload that an event of S3 tells of. Raises `ManifestError`."""
    if event.get("detail-type") != OBJECT_CREATED:
        raise ManifestError(
            f"{where}: an event {event.get('detail-type')!r} of S3 starts no job, only {OBJECT_CREATED!r} does;"
            f" check the rule's pattern"
        )
    try:
        detail = msgspec.convert(event.get("detail"), _Detail)
        key = detail.object.key
        uri = absolute_uri(f"s3://{detail.bucket.name}/{key}", "")
    except (msgspec.ValidationError, BadUri) as error:
        raise ManifestError(f"{where}: {error}") from error
    if why := why_not_readable(uri, readable):
        raise ManifestError(f"{where}: {why}")
    kind, model = _kind_and_model(key)
    if kind is None:
        raise ManifestError(
            f"{where}: {uri} starts no job; what does is {JOBS}….json (a manifest),"
            f" {INBOX}NAME@VERSION/….jsonl, .ndjson or .csv (items), and"
            f" {FOLDERS}NAME@VERSION/FOLDER/{SUCCESS} (a folder that is complete)"
        )
    version_id = detail.object.version_id
    return Upload(
        uri=uri,
        kind=kind,
        model=model,
        etag=_bare(detail.object.etag),
        version_id=None if version_id in ("", UNVERSIONED) else version_id,
    )


def _kind_and_model(key: str) -> tuple[Kind | None, str]:
    """What a key starts. Of items the ending is not looked at: whoever pins them says what it may be."""
    if key.startswith(JOBS) and key.endswith(".json"):
        return "manifest", ""
    prefix, _, rest = key.partition("/")
    model, _, name = rest.partition("/")
    if prefix + "/" == INBOX and name:
        return "items", model
    if prefix + "/" == FOLDERS and name.endswith("/" + SUCCESS):
        return "folder", model
    return None, ""


def pin_upload(storage: Storage, upload: Upload) -> ObjectInfo:
    """The version that an upload's event is about; of a folder's mark, the version that it has now.

    Raises `ManifestError` where that is gone, or where the bucket keeps no versions and has another object by now.
    """
    version_id = None if upload.kind == "folder" else upload.version_id
    try:
        info = storage.head(upload.uri, version_id)
    except FileNotFoundError as error:
        what = "is gone" if version_id is None else f"has no version {version_id!r} any more"
        raise ManifestError(f"{upload.uri} {what}, so there is nothing to start; upload it again") from error
    except PermissionError as error:
        raise ManifestError(f"{error}; what was uploaded may not be read") from error
    if upload.kind != "folder" and version_id is None and upload.etag not in ("", _bare(info.etag)):
        raise ManifestError(
            f"{upload.uri} has been uploaded again since this event, in a bucket that keeps no versions; the event"
            f" of the newer upload starts its job"
        )
    return info


def _bare(etag: str) -> str:
    """An ETag without the quotes that HTTP has around it, and events have not."""
    return etag.strip('"')
