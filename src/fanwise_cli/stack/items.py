"""Items of this machine → the stack's input bucket: an items file with the files that it names, or a folder.

They go below `submitted/`, where no rule looks, into a folder that is named by what is in it. So the same items
again are the same objects, hence the same job, and nothing is sent twice; and what an upload that was interrupted
brought there is known again.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fanwise.errors import BadUri, InputError, ItemError, ItemsFileError, LocationError
from fanwise.items.columns import check_columns
from fanwise.items.cutting import cut_entries
from fanwise.items.folder import files_of_folder
from fanwise.items.lines import bytes_to_read, split_records
from fanwise.items.parsing import Item, is_data, parse_record
from fanwise.items.uris import absolute_uri
from fanwise.model.bundle import sha256_of
from fanwise.planning.source import PinnedItems, pin_items
from fanwise.records import ItemsSource, Kind
from fanwise.storage import MAX_KEY_BYTES, FolderBackend, Storage
from fanwise_cli.bundles import safe_name
from fanwise_cli.preparation import naming_items
from fanwise_cli.progress import counted, waiting
from fanwise_cli.stack.connection import DeployedStack
from fanwise_cli.stack.transfers import Upload, changed, upload
from fanwise_cli.terminal import JobConsole

SUBMITTED = "submitted/"
_HERE = "s3://items/"  # the folder of the items, as a bucket: it is read by the rules that the stages read by
_BLOCK_ITEMS = 1024
MAX_CREATED_BYTES = (
    8 * 1024 * 1024
)  # of an items file that is written by one request; what boto3 sends at once
_DIGITS = 16  # of the hash of what is in a folder of `submitted/`

Kinds = dict[str, Kind]


@dataclass(frozen=True)
class LocalItems:
    """Items of this machine. `files` are all that goes up, by its path in `folder`; `name` is the items file's.

    `absent` are names that items give and that are not there: dead letters, as they would be anywhere.
    """

    given: Path
    folder: Path
    name: str | None
    files: tuple[str, ...]
    absent: tuple[str, ...] = ()


def find_items(path: Path, kinds: Kinds) -> LocalItems:
    """Look at an items file or folder as PlanJob would, and at what its items name. Raises `InputError`."""
    whole = path.resolve()  # what a symlink names lies in its own folder, and its URIs are relative to that
    folder = whole if whole.is_dir() else whole.parent
    storage = Storage({"items": FolderBackend(folder, writable=False)}, s3=False)
    if whole.is_dir():
        with naming_items(_HERE, f"{path}/"):
            return LocalItems(path, folder, None, tuple(name for name, _ in files_of_folder(storage, _HERE)))
    uri = _HERE + whole.name
    with naming_items(uri, str(path)):
        _check_name(path, whole.name)
        pinned = pin_items(storage, uri, by_content=False)
        if pinned.source is None:
            raise ItemsFileError(f"{path}: is neither an items file nor a folder")
        if pinned.source.columns is not None:
            check_columns(pinned.source.columns, uri, kinds)
        named = sorted({name for item in _items(storage, pinned, kinds) for name in _names(item, kinds)})
    there = [name for name in named if name != whole.name and _is_item(storage, name)]
    absent = sorted({*named} - {*there, whole.name})
    return LocalItems(path, folder, whole.name, (*there, whole.name), tuple(absent))


def bring(items: LocalItems, stack: DeployedStack, console: JobConsole, *, quiet: bool) -> str:
    """Upload what is not there yet; the URI that the items have in the stack. Raises `InputError`."""
    with waiting(console, f"reading {items.given}", quiet=quiet):
        looked_at = [Upload.of(items.folder / name, name) for name in items.files]
        with ThreadPoolExecutor() as readers:
            hashes = list(readers.map(lambda one: sha256_of(one.path), looked_at))
    # Sorted already, but for the items file, whose place says that it is one.
    listing = msgspec.json.encode([*zip(items.files, hashes, strict=True)])
    unique = hashlib.sha256(listing).hexdigest()[:_DIGITS]
    readable = safe_name(items.folder.name if items.name is None else Path(items.name).stem)
    prefix = f"{SUBMITTED}{readable}-{unique}/"
    uri = f"s3://{stack.input_bucket}/{prefix}"
    there = {info.key: info.size_bytes for info in stack.storage.list(uri)}
    missing = [
        Upload(one.path, prefix + name, one.size_bytes, one.modified_ns)
        for name, one in zip(items.files, looked_at, strict=True)
        if there.get(prefix + name) != one.size_bytes
    ]
    _check_keys(missing)
    # The items file comes last: where it is, all that it names is.
    last = missing[-1:] if items.name is not None else []
    first = missing[: len(missing) - len(last)]
    what = f"uploading {counted(len(missing), 'file')}"
    upload(stack.s3, stack.input_bucket, first, console, what, quiet=quiet)
    for one in last:
        _bring_items_file(one, hashes[-1], stack, console, quiet=quiet)
    if not quiet and items.files and not missing:
        console.tell(f"{items.given}: is in {uri} already", "dim")
    return uri + (items.name or "")


def _bring_items_file(
    one: Upload, sha256: str, stack: DeployedStack, console: JobConsole, *, quiet: bool
) -> None:
    """Its version is part of the job's id: who submits the same at the same time is not to make a second one.

    So it is written on condition that it is not there, unless it is too large for one request.
    """
    if one.size_bytes <= MAX_CREATED_BYTES:
        body = one.path.read_bytes()
        if hashlib.sha256(body).hexdigest() != sha256:
            raise changed(one)
        if stack.storage.create(f"s3://{stack.input_bucket}/{one.key}", body) == body:
            return
    upload(stack.s3, stack.input_bucket, [one], console, "uploading the items file", quiet=quiet)


def _check_name(path: Path, name: str) -> None:
    try:
        absolute_uri(name.encode().decode(), _HERE)
    except (BadUri, UnicodeEncodeError) as error:
        raise ItemsFileError(f"{path}: {error}; rename the file") from error


def _check_keys(uploads: list[Upload]) -> None:
    for one in uploads:
        if len(one.key.encode()) > MAX_KEY_BYTES:
            raise InputError(
                f"{one.path}: its key would have over {MAX_KEY_BYTES:,} bytes, the most of S3; shorten its name"
            )


def _is_item(storage: Storage, name: str) -> bool:
    """Whether a name stands for a file of the folder; one that a symlink leads out of it is none."""
    try:
        storage.head(_HERE + name)
    except (FileNotFoundError, PermissionError, LocationError):
        return False
    return True


def _items(storage: Storage, pinned: PinnedItems, kinds: Kinds) -> Iterator[Item]:
    """The items of a file that can be read; the others are dead letters, and name nothing."""
    assert pinned.source is not None  # noqa: S101 - of a file there is one
    source: ItemsSource = msgspec.structs.replace(pinned.source, readable=(_HERE,))
    chunks = storage.stream(source.uri, source.pin(), start=pinned.begin)
    blocks = cut_entries(chunks, source.kind, _BLOCK_ITEMS, start=pinned.begin, first_line=pinned.first_line)
    for block in blocks:
        data = storage.read(source.uri, *bytes_to_read(block), source.pin())
        records = split_records(
            data, source.kind, start=block.start, first_line=block.first_line, end=block.end
        )
        for record in records:
            try:
                yield parse_record(record, 0, source, kinds)
            except ItemError:
                continue


def _names(item: Item, kinds: Kinds) -> Iterator[str]:
    """What an item names in the folder of its file."""
    uris = [item.uri] if item.uri is not None else []
    for name, value in item.inputs.items():
        if kinds.get(name) == "image":
            given = msgspec.json.decode(value)
            if isinstance(given, str) and not is_data(given):
                uris.append(given)
    return (uri.removeprefix(_HERE) for uri in uris if uri.startswith(_HERE))
