"""What a file of this machine holds, known by a hash of it: the same for a copy, another after a change in place.

Hashing reads the whole file, so what was found is remembered with the file's identity, its times and its size: in
this process, and in a folder where one is given, so that the other processes of a job need not read it again. The
change time is among them: unlike the modification time nobody can set it back. A file that changed so recently
that the next change could bear the same time is not remembered (as in git's index: racy-git).
"""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from fanwise.durable import TEMPORARY
from fanwise.errors import ItemsChanged

ETAG_PREFIX = "sha256-"  # of what stands for a content where another store has its ETag
_READ_BYTES = 4 * 1024 * 1024
_TRIES = 3  # at a file that is being written
_SETTLED_NS = 100_000_000  # more than a tick of any clock that a file system goes by
_SETTLED_COARSE_NS = 2_000_000_000  # where times are whole seconds, as on FAT


class _State(NamedTuple):
    """When these are the same, the content is."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, file: IO[bytes]) -> "_State":
        found = os.fstat(file.fileno())
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self, now_ns: int) -> bool:
        last = max(self.mtime_ns, self.ctime_ns)
        is_coarse = self.mtime_ns % 1_000_000_000 == 0 and self.ctime_ns % 1_000_000_000 == 0
        return last + (_SETTLED_COARSE_NS if is_coarse else _SETTLED_NS) < now_ns


class _Remembered(msgspec.Struct, frozen=True):
    state: _State
    etag: str


class Contents:
    """Hashes of files, remembered in this process and, where a folder is given, in that."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[_State, str] = {}
        self._hashing = threading.Lock()

    def etag_of(self, file: IO[bytes]) -> str:
        """`sha256-…` of an open file, whose position it leaves anywhere.

        Raises `ItemsChanged` where it changes all the while.
        """
        state = _State.of(file)
        if (known := self._known.get(state)) is not None:
            return known
        with self._hashing:  # of threads that want the same file, one reads it
            known = self._known.get(state) or self._kept(state)
            if known is not None:
                self._known[state] = known
                return known
            for _ in range(_TRIES):
                began_ns, state = time.time_ns(), _State.of(file)
                etag = _hashed(file)
                if _State.of(file) == state:
                    if state.is_settled(began_ns):
                        self._known[state] = etag
                        self._keep(_Remembered(state, etag))
                    return etag
        raise ItemsChanged(f"{file.name} is being written to; wait until it is complete")

    def _path(self, state: _State) -> Path | None:
        return self._folder / f"{state.device:x}-{state.inode:x}.json" if self._folder else None

    def _kept(self, state: _State) -> str | None:
        path = self._path(state)
        if path is None:
            return None
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Remembered)
        except (OSError, msgspec.DecodeError):  # it only spares a read
            return None
        return kept.etag if kept.state == state else None

    def _keep(self, found: _Remembered) -> None:
        path = self._path(found.state)
        if path is None:
            return
        temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(found))
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)


def _hashed(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(_READ_BYTES):
        digest.update(data)
    return ETAG_PREFIX + digest.hexdigest()
