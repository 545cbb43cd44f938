"""A job's results as files of this machine: the parts that count, in index order, out of the job's home.

The home is a folder or a bucket. Parts are read several at once, in pieces, and written in order, so that a job of
ten thousand small parts comes as fast as one of a few large ones, in bounded memory.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fanwise.durable import make_folder, sync_file, sync_folder
from fanwise.errors import FanwiseError
from fanwise.records import Part
from fanwise.storage import STREAM_CHUNK_BYTES, Storage

RESULTS = ("summary.json", "predictions.jsonl", "failures.jsonl")
READERS = 16  # pieces read at once; as many more wait for their turn to be written


class PartDamaged(FanwiseError):
    """A part is not what its commit says; nothing of it has been given out as a result."""

    def __init__(self, where: str, wrong: str) -> None:
        super().__init__(f"{where} {wrong}; run the job again, with --again")


Arrived = Callable[[int], None]  # told of each piece, in bytes


def read_parts(storage: Storage, home: str) -> list[Part]:
    """The parts that count of a job that has ended. Raises `FileNotFoundError` for one that has not."""
    return msgspec.json.Decoder(Part).decode_lines(storage.read(home + "parts.jsonl"))


def collect(
    storage: Storage,
    home: str,
    to: Path,
    *,
    parts: list[Part] | None = None,
    arrived: Arrived = lambda _: None,
) -> dict[str, Any]:
    """Write the results of the job whose home is `home` (with its last slash) into `to`; the job's summary.

    Each file takes its place when it is whole, the summary last. Raises `PartDamaged`.
    """
    make_folder(to)
    parts = read_parts(storage, home) if parts is None else parts
    for folder in ("predictions", "failures"):
        wanted = [part for part in parts if part.key.startswith(f"{folder}/")]
        with whole(to / f"{folder}.jsonl") as temporary, temporary.open("wb") as file:
            for piece in pieces(storage, home, wanted):
                file.write(piece)
                arrived(len(piece))
    body = storage.read(home + "summary.json")
    write_whole(to / "summary.json", body)
    summary: dict[str, Any] = json.loads(body)
    return summary


def pieces(storage: Storage, home: str, parts: Iterable[Part]) -> Iterator[bytes]:
    """The bytes of parts, one after the other; raises `PartDamaged` where one is not what its commit says."""

    digest = hashlib.sha256()

    def read(part: Part, start: int) -> bytes:
        end = min(start + STREAM_CHUNK_BYTES, part.size_bytes)
        is_last = end == part.size_bytes
        try:
            data = storage.read(home + part.key, start, end + is_last)  # one more than there should be
        except FileNotFoundError as error:
            raise PartDamaged(home + part.key, "is gone") from error
        if len(data) != end - start or (is_last and data[-1:] != b"\n"):
            raise PartDamaged(home + part.key, f"has not the {part.size_bytes:,} bytes that its commit says")
        return data

    def checked(part: Part, start: int, data: bytes) -> bytes:
        """In the order of the bytes."""
        nonlocal digest
        if not start:
            digest = hashlib.sha256()
        if part.sha256:
            digest.update(data)
            if start + len(data) == part.size_bytes and digest.hexdigest() != part.sha256:
                raise PartDamaged(home + part.key, "has other bytes than its commit says")
        return data

    with ThreadPoolExecutor(READERS) as readers:
        waiting: deque[tuple[Part, int, Future[bytes]]] = deque()

        def next_piece() -> bytes:
            part, start, read_ = waiting.popleft()
            return checked(part, start, read_.result())

        try:
            for part in parts:
                for start in range(0, part.size_bytes, STREAM_CHUNK_BYTES):
                    waiting.append((part, start, readers.submit(read, part, start)))
                    if len(waiting) == 2 * READERS:
                        yield next_piece()
            while waiting:
                yield next_piece()
        finally:
            for _, _, late in waiting:
                late.cancel()


def write_whole(path: Path, body: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(body)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write, which takes its place when it is complete and on the disk."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a write does not say where the disk is full
        raise
