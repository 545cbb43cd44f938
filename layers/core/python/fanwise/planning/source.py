"""The items of a manifest, pinned: which bytes the job is about, and of what kind they are."""

from pathlib import PurePosixPath
from typing import NamedTuple

from fanwise.errors import ItemsFileError
from fanwise.file_kinds import BEGINNING_BYTES, why_no_text
from fanwise.items.columns import read_header
from fanwise.items.folder import version_of_folder
from fanwise.items.lines import LineKind
from fanwise.items.uris import folder_of
from fanwise.limits import MAX_CSV_HEADER_BYTES
from fanwise.records import ItemsSource
from fanwise.storage import ObjectInfo, Storage

_KINDS: dict[str, LineKind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_UNPACK = {
    ".gz": "gunzip",
    ".bz2": "bunzip2",
    ".xz": "unxz",
    ".zst": "unzstd",
    ".zstd": "unzstd",
    ".lz4": "unlz4",
    ".zip": "unzip",
}


class PinnedItems(NamedTuple):
    """Items, pinned. Another `version` is another job.

    Of a folder there is no `source` until its items are written down, which `listing` is held against.
    """

    uri: str
    version: str
    source: ItemsSource | None
    listing: str = ""
    begin: int = 0  # where the first record may begin, after a CSV header
    first_line: int = 1  # the line that stands there


def pin_items(
    storage: Storage, uri: str, upload: ObjectInfo | None = None, *, by_content: bool = True
) -> PinnedItems:
    """Pin an items file, or a folder (a URI that ends with a slash), as it is now.

    Not `by_content`: a file of this machine is not read whole to know it again, for who makes no job of it.
    Where an upload of it started the job, `upload` is the version of the file, or of the folder's mark. A folder
    whose mark has a version is known by that: files that come later, for the next mark, make it no other job.
    Raises `ItemsFileError`, `LocationError`.
    """
    if uri.endswith("/"):
        try:
            listing = version_of_folder(storage, uri)
        except PermissionError as error:
            raise ItemsFileError(f"{error}; the folder may not be listed") from error
        marked = None if upload is None else upload.version_id
        return PinnedItems(uri, marked or listing, None, listing)
    kind = _kind(uri)
    try:
        info = upload or (storage.pin(uri) if by_content else storage.head(uri))
        beginning = _beginning(storage, uri, info, kind)
    except FileNotFoundError as error:
        raise ItemsFileError(
            f"{uri}: there is no such items file; check the URI (a folder's ends with /)"
        ) from error
    except PermissionError as error:
        raise ItemsFileError(f"{error}; the items file may not be read, or is not there") from error
    columns, begin, first_line = None, 0, 1
    other = why_no_text(beginning, uri)
    if other is not None:
        raise ItemsFileError(f"{uri} {other}")
    if kind == "csv":
        is_whole_file = len(beginning) == info.size_bytes
        columns, begin, first_line = read_header(beginning, uri, is_whole_file=is_whole_file)
    source = ItemsSource(
        uri=uri,
        kind=kind,
        size_bytes=info.size_bytes,
        etag=info.etag,
        version_id=info.version_id,
        columns=columns,
        base=folder_of(uri),
    )
    return PinnedItems(uri, info.version_id or info.etag, source, begin=begin, first_line=first_line)


def _beginning(storage: Storage, uri: str, info: ObjectInfo, kind: LineKind) -> bytes:
    """As much of a file as says what it is, and, of a CSV, which columns it has."""
    size_bytes = info.size_bytes
    read_bytes = header_bytes(size_bytes) if kind == "csv" else min(size_bytes, BEGINNING_BYTES)
    return storage.read(uri, 0, read_bytes, info) if read_bytes else b""


def pin_written_items(storage: Storage, base: str, items_uri: str) -> ItemsSource:
    """Pin items that were written into a job's home; `base` is what relative URIs in them would be relative to."""
    info = storage.pin(items_uri)
    return ItemsSource(
        uri=items_uri,
        kind="jsonl",
        size_bytes=info.size_bytes,
        etag=info.etag,
        version_id=info.version_id,
        base=base,
    )


def header_bytes(size_bytes: int) -> int:
    """How much of a CSV file of that size is read for its header."""
    return min(size_bytes, MAX_CSV_HEADER_BYTES + 16)  # 16: a BOM and the line end


def _kind(uri: str) -> LineKind:
    """The kind of an items file by its ending; raises `ItemsFileError` with the remedy for any other."""
    path = PurePosixPath(uri)
    ending = path.suffix.lower()
    if ending in _KINDS:
        return _KINDS[ending]
    if ending in _UNPACK:
        raise ItemsFileError(
            f"{uri} is compressed, and entries are byte ranges of what is not; unpack it first:"
            f" {_UNPACK[ending]} {path.name}"
        )
    raise ItemsFileError(
        f"{uri}: items are read from {', '.join(_KINDS)} files, or from a folder, whose URI ends with /;"
        f" this ends with {ending or path.name!r}"
    )
