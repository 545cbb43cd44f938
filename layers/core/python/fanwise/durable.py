"""Files of this machine that outlast a power cut: their bytes reach the disk before their name does.

A file is written beside its place under another name and synced, takes its place, and the folder is synced, whose
entries need an fsync of their own (fsync(2)). So after a power cut a name stands for the whole file or for what
stood there before, and what was written later is never there without what was written before it. A file system
that cannot sync a folder (some network mounts) is used as it is.
"""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

TEMPORARY = ".writing-"  # how the name of a file that is not whole yet begins
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def write_durably(path: str, body: bytes) -> None:
    """Write a file, whole or not at all, over whatever was there."""
    temporary = write_synced(os.path.dirname(path), body)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def write_synced(folder: str, body: bytes) -> str:
    """Write a file of no name of its own into a folder, with its bytes on the disk; answers with its path."""
    handle, path = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    try:
        with open(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise
    return path


def sync_file(path: str | Path) -> None:
    """Have the bytes of a file that is closed reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: str | Path) -> None:
    """Have the names in a folder reach the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it, each with its name on the disk; one that is there is fine.

    Raises `NotADirectoryError`, which names `path`, where a file stands in the way.
    """
    missing = []
    at = os.path.abspath(path)
    while not os.path.isdir(at):
        if os.path.lexists(at):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
        missing.append(at)
        at = os.path.dirname(at)
    for folder in reversed(missing):
        os.makedirs(folder, exist_ok=True)
        sync_folder(os.path.dirname(folder))


def sync_tree(folder: Path, each: Callable[[str], None] = sync_file) -> None:
    """Have everything below a folder reach the disk, files before the folders that name them."""
    for at, _, names in os.walk(folder, topdown=False):
        for name in names:
            each(os.path.join(at, name))
        sync_folder(at)
