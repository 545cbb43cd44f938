"""What an execution was started with → the manifest and what makes this start one of its own.

`{"manifest": "s3://…/job.json"}` or `{"manifest": {…}}`. Beside it: `scheduled_time` (a schedule's), `run` (text
that makes another run of the same items and model), `resume` (go on with a job that is there).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from fanwise.errors import BadUri, ManifestError
from fanwise.items.manifest import check_keys, read_manifest
from fanwise.items.readable import Readable, check_readable
from fanwise.items.uris import absolute_uri, folder_of
from fanwise.limits import MAX_MANIFEST_BYTES
from fanwise.records import Manifest
from fanwise.storage import Storage

WHERE = "the execution's input"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start, read."""

    manifest: Manifest
    scheduled_time: str | None = None
    run: str | None = None
    resume: bool = False


def read_start(given: object, storage: Storage, readable: Readable) -> Start:
    """Read the execution's input; an event of another shape is to be recognised here, before its keys are checked.

    Raises `ManifestError`, `LocationError`.
    """
    if not isinstance(given, Mapping):
        raise ManifestError(f'{WHERE} is no JSON object; start with {{"manifest": "s3://…/job.json"}}')
    check_keys(given, Start.__struct_fields__, WHERE)
    for key, wanted in (("scheduled_time", str), ("run", str), ("resume", bool)):
        if not isinstance(given.get(key), wanted | None):
            kind = "text" if wanted is str else "true or false"
            raise ManifestError(f'{WHERE}: "{key}" is {given[key]!r}; {kind}')
    return Start(
        manifest=_manifest(given.get("manifest"), storage, readable),
        scheduled_time=given.get("scheduled_time"),
        run=given.get("run"),
        resume=bool(given.get("resume")),
    )


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
