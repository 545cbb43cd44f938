"""How many items a job has, and how large its items file is: counted as PlanJob will, or as a person says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fanwise.errors import InputError, ItemsFileError
from fanwise.items.columns import check_columns
from fanwise.items.cutting import cut_entries
from fanwise.items.folder import files_of_folder
from fanwise.items.readable import check_readable
from fanwise.limits import MAX_BATCH_SIZE
from fanwise.planning.source import pin_items
from fanwise.records import Kind
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.preparation import naming_items

if TYPE_CHECKING:
    from fanwise_cli.stack.connection import DeployedStack

# Of the line that PlanJob writes for each file of a folder; a guess of those of items that nobody has seen.
LINE_BYTES = 100
MOST_ITEMS = 100_000_000_000
_HERE = "s3://items/"  # the folder of the items, as a bucket
_COUNT = re.compile(r"\d{1,3}(,\d{3})+|\d+(_\d+)*", re.ASCII)


@dataclass(frozen=True)
class Counted:
    """So many items; `guessed` where nobody has seen them, and their size is a guess."""

    items: int
    size_bytes: int
    guessed: bool = False


def plain_count(words: str) -> Counted | None:
    """ITEMS that is a number (`10000000`, `10_000_000`, `10,000,000`), unless there is a file of that name.

    Raises `InputError` for one that is too large to mean anything.
    """
    if not _COUNT.fullmatch(words) or Path(words).exists():
        return None
    items = int(words.replace(",", ""))
    if items > MOST_ITEMS:
        raise InputError(f"ITEMS is {items:,}; at most {MOST_ITEMS:,} are reckoned with")
    return Counted(items, items * LINE_BYTES, guessed=True)


def count(items: Path | str, kinds: Mapping[str, Kind], stack: "DeployedStack | None") -> Counted:
    """The items, one by one, as PlanJob will find them; `stack` has those of an s3:// URI. Raises `InputError`."""
    if isinstance(items, Path):
        whole = items.resolve()
        folder = whole if whole.is_dir() else whole.parent
        storage = Storage({"items": FolderBackend(folder, writable=False)}, s3=False)
        uri = _HERE if whole.is_dir() else _HERE + whole.name
        with naming_items(uri, str(items)):
            return _counted(storage, uri, kinds)
    assert stack is not None  # noqa: S101 - connected for an s3:// URI
    check_readable(items, stack.readable)
    return _counted(stack.storage, items, kinds)


def _counted(storage: Storage, uri: str, kinds: Mapping[str, Kind]) -> Counted:
    if uri.endswith("/"):
        files = sum(1 for _ in files_of_folder(storage, uri))
        return Counted(files, files * LINE_BYTES)
    pinned = pin_items(storage, uri, by_content=False)
    if pinned.source is None:
        raise ItemsFileError(f"{uri}: is neither an items file nor a folder")
    source = pinned.source
    if source.columns is not None:
        check_columns(source.columns, uri, dict(kinds))
    chunks = storage.stream(uri, source.pin(), start=pinned.begin)
    entries = cut_entries(
        chunks, source.kind, MAX_BATCH_SIZE, start=pinned.begin, first_line=pinned.first_line
    )
    return Counted(sum(entry.count for entry in entries), source.size_bytes)
