"""A folder as an items file: one item a file, sorted by path.

`version_of_folder` pins what the job is about; `write_items_of_folder` lists it again and writes it down in the
job's home, from where it is planned like any other items file.
"""

import hashlib
import io
from collections.abc import Iterator
from typing import Protocol

import msgspec

from fanwise.errors import ItemsChanged, ItemsFileError
from fanwise.storage import Location, ObjectInfo, Storage

SUCCESS = "_SUCCESS"  # the mark of a folder that is complete; no item

_encoder = msgspec.json.Encoder()


def version_of_folder(storage: Storage, folder_uri: str) -> str:
    """What changes when a file of the folder is added, removed or changed. Raises `ItemsFileError`."""
    listing = hashlib.sha256()
    for path, info in files_of_folder(storage, folder_uri):
        listing.update(_line_of_listing(path, info))
    return listing.hexdigest()


class Check(Protocol):
    """Raises for a folder that is larger than a job may be, so far."""

    def __call__(self, uri: str, *, items: int, size_bytes: int) -> None: ...


def write_items_of_folder(
    storage: Storage, folder_uri: str, to_uri: str, version: str, check: Check | None = None
) -> int:
    """Write the folder's items, `{"id": path in the folder, "uri": s3://…}` a line, and answer how many.

    `check` hears of each file, before anything is written. Raises `ItemsChanged` if the folder is no longer at
    `version`, `ItemsFileError` for a name that is not UTF-8.
    """
    listing, lines, count, size_bytes = hashlib.sha256(), io.BytesIO(), 0, 0
    for path, info in files_of_folder(storage, folder_uri):
        listing.update(_line_of_listing(path, info))
        lines.write(_encoder.encode({"id": path, "uri": folder_uri + path}))
        lines.write(b"\n")
        count += 1
        size_bytes += info.size_bytes
        if check is not None:
            check(folder_uri, items=count, size_bytes=size_bytes)
    if listing.hexdigest() != version:
        raise ItemsChanged(
            f"{folder_uri} changed while it was listed; start the job again when it is complete"
        )
    storage.write(to_uri, lines.getvalue())
    return count


def files_of_folder(storage: Storage, folder_uri: str) -> Iterator[tuple[str, ObjectInfo]]:
    """The files that are items, by their path in the folder, sorted by it. Raises `ItemsFileError`."""
    prefix = Location.parse(folder_uri).key
    last = ""
    for info in storage.list(folder_uri):
        path = info.key.removeprefix(prefix)
        parts = path.split("/")
        if parts[-1] in ("", SUCCESS) or any(part.startswith(".") for part in parts):
            continue
        try:
            path.encode()
        except UnicodeEncodeError as error:
            shown = path.encode("utf-8", "backslashreplace").decode()
            raise ItemsFileError(
                f"{folder_uri}: the name of {shown} is not UTF-8; rename the file"
            ) from error
        if path < last:
            raise ItemsFileError(f"{folder_uri}: the store lists {path!r} after {last!r}, not sorted by key")
        last = path
        yield path, info


def _line_of_listing(path: str, info: ObjectInfo) -> bytes:
    return _encoder.encode((path, info.size_bytes, info.etag)) + b"\n"
