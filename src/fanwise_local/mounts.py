"""Folders that stand for buckets: the stack's own, the folder of the items, and what `--root` names.

The handlers learn of them by FANWISE_MOUNTS and hold every key inside its folder (`fanwise.storage`). Items may
point into the folders that are mounted for them and into the stack's input bucket (FANWISE_READABLE), and not into
its models and results.
"""

import ipaddress
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from fanwise.contents import Contents
from fanwise.errors import LocationError
from fanwise.items.readable import Readable, prefixes_of
from fanwise.settings import CONTENTS, MOUNTS, READABLE, Mount
from fanwise.storage import FolderBackend, Storage
from fanwise_local.template import Stack

INPUT_BUCKET = "InputBucket"  # its logical id
_LEGAL = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")  # bucketnamingrules


class Mounts:
    """Bucket name → folder; `readable_buckets` are those that items may point into.

    `contents` is where what files hold is remembered (`fanwise.contents`).
    """

    def __init__(self, by_bucket: Mapping[str, Mount], contents: Path | None = None) -> None:
        self.by_bucket = dict(by_bucket)
        self.contents = contents
        self.readable_buckets: set[str] = set()

    @classmethod
    def of(cls, stack: Stack, *, work_dir: Path, folders: Iterable[Path], roots: Iterable[str]) -> Self:
        """Mount the stack's buckets below `work_dir/buckets`, `folders` under their own names, and `roots`.

        A root is `DIR` or `NAME=DIR`. Raises `LocationError` for a folder that is not there, a name that is no
        bucket's, and two folders under one name.
        """
        mounts = cls({}, Path(os.path.realpath(work_dir), "contents"))
        for logical_id, bucket in stack.buckets.items():
            folder = work_dir / "buckets" / bucket
            folder.mkdir(parents=True, exist_ok=True)
            mounts._add(bucket, folder, writable=True, readable=logical_id == INPUT_BUCKET)
        for folder in folders:
            mounts._add(bucket_name_of(folder), folder)
        for root in roots:
            name, separator, path = root.partition("=")
            if not separator or Path(root).is_dir():  # a folder may have "=" in its own name
                name, path = bucket_name_of(Path(root)), root
            if not Path(path).is_dir():
                raise LocationError(f"--root {root}: there is no folder {path or repr(path)}")
            mounts._add(name, Path(path))
        return mounts

    def _add(self, bucket: str, folder: Path, *, writable: bool = False, readable: bool = True) -> None:
        if not folder.is_dir():
            raise LocationError(f"{folder}: there is no such folder to mount as bucket {bucket!r}")
        if not _is_legal(bucket):
            raise LocationError(
                f"{folder}: {bucket!r} is no bucket's name (3 to 63 of a-z, 0-9, '.' and '-', not an IP address);"
                f" mount it as --root NAME={folder}"
            )
        path = os.path.realpath(folder)
        known = self.by_bucket.get(bucket)
        if known is not None and known.path != path:
            raise LocationError(
                f"{folder}: bucket {bucket!r} is {known.path} already; mount it as --root NAME={folder}"
            )
        if known is None:
            self.by_bucket[bucket] = Mount(path, writable)
        if readable:
            self.readable_buckets.add(bucket)

    def environment(self) -> dict[str, str]:
        """What the handlers are told."""
        return {
            MOUNTS: json.dumps(msgspec.to_builtins(self.by_bucket)),
            READABLE: ",".join(self._arns()),
            **({CONTENTS: str(self.contents)} if self.contents else {}),
        }

    def readable(self) -> Readable:
        """What the items of a job may point at, as PlanJob reads it from its environment."""
        return prefixes_of(self._arns())

    def _arns(self) -> list[str]:
        return [f"arn:aws:s3:::{bucket}/*" for bucket in sorted(self.readable_buckets)]

    def storage(self) -> Storage:
        """The same buckets for this process."""
        contents = Contents(self.contents)
        return Storage(
            {
                bucket: FolderBackend(Path(m.path), writable=m.writable, contents=contents)
                for bucket, m in self.by_bucket.items()
            },
            s3=False,
        )

    def folder_of(self, bucket: str) -> Path:
        """The folder that stands for a bucket; raises `LocationError` where none does."""
        if bucket not in self.by_bucket:
            known = ", ".join(sorted(self.by_bucket))
            raise LocationError(f"no folder is mounted as bucket {bucket!r} (mounted: {known})")
        return Path(self.by_bucket[bucket].path)

    def uri_of(self, path: Path) -> str:
        """The URI of a file or folder inside a mount; raises `LocationError` outside of all."""
        real = Path(os.path.realpath(path))
        for bucket, mount in self.by_bucket.items():
            if real.is_relative_to(mount.path):
                key = real.relative_to(mount.path).as_posix()
                return f"s3://{bucket}/{'' if key == '.' else key}"
        raise LocationError(f"{path}: is in no mounted folder; mount its folder with --root DIR")


def _is_legal(name: str) -> bool:
    if not _LEGAL.fullmatch(name):
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return True
    return False


def bucket_name_of(folder: Path) -> str:
    """A folder's own name as a bucket's: lower case, whatever is not a letter, digit or '-' becomes '-'."""
    name = Path(os.path.realpath(folder)).name.lower()
    made = re.sub(r"[^a-z0-9-]+", "-", name).strip("-")[:63].strip("-")
    return made if len(made) >= 3 else f"folder-{made}".strip("-")
