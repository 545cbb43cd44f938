"""Objects by URI: `s3://bucket/key`, on S3 (obstore) or in a folder of this machine that stands for a bucket.

A Lambda sees S3 alone. On a laptop the environment variable FANWISE_MOUNTS names folders that stand for buckets;
a key is resolved and held inside its folder, whatever `..` and symlinks say.

Raises, beside what the single functions name: `FileNotFoundError` (no such object), `PermissionError` (not
allowed), `StoreUnavailable` (worth another attempt), `StoreFull` (a folder's disk), `LocationError` (malformed, or
outside what may be read).
"""

import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, S3Store

from fanwise import settings
from fanwise.contents import ETAG_PREFIX, Contents
from fanwise.durable import TEMPORARY, make_folder, sync_folder, write_synced
from fanwise.errors import DISK_FULL, ItemsChanged, LocationError, StoreFull, StoreUnavailable, room_wanted

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

STREAM_CHUNK_BYTES = 8 * 1024 * 1024
MAX_KEY_BYTES = 1024  # of an S3 key (object-keys)
UNVERSIONED = "null"  # the id of every version that a bucket without versions has (versioning-workflows)

# As wide as S3 ever was: in us-east-1 old buckets have capitals and underscores (bucketnamingrules).
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")


@dataclass(frozen=True)
class Location:
    """A parsed `s3://bucket/key`. The key may be empty: the bucket's root."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Split a URI; raises `LocationError` for another scheme, or without a bucket."""
        scheme, separator, rest = uri.partition("://")
        if not separator or scheme != "s3":
            raise LocationError(f"{uri!r} is not an s3:// URI; only s3://bucket/key is read")
        bucket, _, key = rest.partition("/")
        if not bucket:
            raise LocationError(f"{uri!r} names no bucket; write s3://bucket/key")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says of an object: `key` within its bucket, `size_bytes`, and the version it has now."""

    key: str
    size_bytes: int
    etag: str
    version_id: str | None = None


class Body(NamedTuple):
    """What came of a read, and `size_bytes`, how much there was to come: less where the end of the object is."""

    data: bytes
    size_bytes: int


class Backend(Protocol):
    """One bucket."""

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo: ...
    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body: ...
    def write(self, key: str, body: bytes) -> None: ...
    def create(self, key: str, body: bytes) -> bool: ...
    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...
    def delete(self, key: str) -> None: ...


@runtime_checkable
class KnowsContents(Protocol):
    """A bucket that can pin an object by what it holds, where `head` only says when it was written."""

    def pin(self, key: str) -> ObjectInfo: ...


def pin_in(backend: Backend, key: str) -> ObjectInfo:
    """What reads of an object as it is now are to be held against."""
    return backend.pin(key) if isinstance(backend, KnowsContents) else backend.head(key)


class Requests(NamedTuple):
    """Requests made so far, as S3 bills them: `gets` (GET, HEAD) and `puts` (PUT, LIST)."""

    gets: int = 0
    puts: int = 0


class Storage:
    """All buckets that this process may reach."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        *,
        s3: bool,
        open_bucket: "Callable[[str], ObjectStore] | None" = None,
    ) -> None:
        """With `s3` every other bucket is S3's: opened by `open_bucket`, else as the environment says."""
        self._backends = dict(backends)
        self._s3 = s3
        self._open_bucket = open_bucket or _s3
        self._counting = threading.Lock()
        self._requests = Requests()

    @classmethod
    def from_settings(cls) -> "Storage":
        """Folders where FANWISE_MOUNTS names them, and then nothing else; S3 where it names none."""
        folders = folders_of_settings()
        return cls(folders, s3=not folders)

    def _at(self, uri: str) -> tuple[Backend, str]:
        location = Location.parse(uri)
        backend = self._backends.get(location.bucket)
        if backend is None:
            if not self._s3:
                known = ", ".join(sorted(self._backends))
                raise LocationError(
                    f"{uri}: no folder is mounted as bucket {location.bucket!r} (mounted: {known});"
                    f" mount it with --root DIR"
                )
            if not _BUCKET.fullmatch(location.bucket):
                raise LocationError(f"{uri}: no bucket is called {location.bucket!r}")
            backend = self._backends[location.bucket] = ObstoreBackend(self._open_bucket(location.bucket))
        return backend, location.key

    def requests(self) -> Requests:
        """How many requests were made so far."""
        return self._requests

    def _count(self, gets: int = 0, puts: int = 0) -> None:
        with self._counting:
            self._requests = Requests(self._requests.gets + gets, self._requests.puts + puts)

    def head(self, uri: str, version_id: str | None = None) -> ObjectInfo:
        """Size and version of an object, as it is now or was at a version."""
        backend, key = self._at(uri)
        self._count(gets=1)
        with _naming(uri):
            return backend.head(key, version_id)

    def pin(self, uri: str) -> ObjectInfo:
        """What reads of an object as it is now are to be held against.

        In a folder its ETag is that of its content: a copy has the same, a file that is changed in place has not.
        """
        backend, key = self._at(uri)
        self._count(gets=1)
        with _naming(uri):
            return pin_in(backend, key)

    def read(self, uri: str, start: int = 0, end: int | None = None, pin: ObjectInfo | None = None) -> bytes:
        """Bytes [start, end) of an object, or what there is of them; never less, which is `StoreUnavailable`.

        With `pin`, of that version, else (gone, too) raises `ItemsChanged`.
        """
        backend, key = self._at(uri)
        self._count(gets=1)
        with _naming(uri):
            try:
                return _whole(backend.read(key, start, end, pin))
            except FileNotFoundError as error:
                if pin is None:
                    raise
                raise ItemsChanged(key) from error

    def stream(
        self, uri: str, info: ObjectInfo, chunk_bytes: int = STREAM_CHUNK_BYTES, start: int = 0
    ) -> Iterator[bytes]:
        """The object that `info` pins, from byte `start` on, in chunks."""
        for begin in range(start, info.size_bytes, chunk_bytes):
            yield self.read(uri, begin, min(begin + chunk_bytes, info.size_bytes), info)

    def write(self, uri: str, body: bytes) -> None:
        """Put an object, whole or not at all, over whatever was there."""
        backend, key = self._at(uri)
        self._count(puts=1)
        with _naming(uri):
            backend.write(key, body)

    def create(self, uri: str, body: bytes) -> bytes:
        """Put an object unless there is one, and answer with what is there now: `body`, or the winner's.

        A conditional write can answer "exists" to its own retry, and an answer can be lost, so whatever is not
        a plain success is read back (conditional-writes). `body` has to be unique to its writer. Raises
        `StoreUnavailable` where there is nothing to read back.
        """
        backend, key = self._at(uri)
        self._count(puts=1)
        with _naming(uri):
            uncertain = StoreUnavailable("a conditional write was refused, and nothing is there; try again")
            try:
                if backend.create(key, body):
                    return body
            except StoreUnavailable as error:
                uncertain = error
            self._count(gets=1)
            try:
                return _whole(backend.read(key, 0, None, None))
            except FileNotFoundError:
                raise uncertain from None  # of a 409 too: the rival that was writing has failed

    def list(self, uri: str) -> Iterator[ObjectInfo]:
        """What lies below a URI that ends with a slash (or is a bucket's root), sorted by key."""
        backend, key = self._at(uri)
        self._count(puts=1)
        with _naming(uri):
            yield from backend.list(key)

    def delete(self, uri: str) -> None:
        """Remove an object; one that is not there is fine."""
        backend, key = self._at(uri)
        with _naming(uri):
            backend.delete(key)


def _whole(body: Body) -> bytes:
    """The bytes of a read. Cut short on the way, they would be taken for an object that is broken itself."""
    if len(body.data) < body.size_bytes:
        raise StoreUnavailable(f"gave {len(body.data):,} of {body.size_bytes:,} bytes; try again")
    return body.data


@contextmanager
def _naming(uri: str) -> Iterator[None]:
    """Give what a backend raises the URI that it was about."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{uri}: no such object") from error
    except PermissionError as error:
        raise PermissionError(f"{uri}: {error.strerror or error}") from error
    except LocationError as error:
        raise LocationError(f"{uri}: {error}") from error
    except ItemsChanged as error:
        raise ItemsChanged(
            f"{uri} is no longer the version that was planned: its content has changed since;"
            f" start the job again (of a file on this machine: with --again, or another --out)"
        ) from error
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{uri}: {error}") from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StoreFull(f"{uri}: {error.strerror}; {room_wanted(error)}, then resume the job") from error
        raise StoreUnavailable(f"{uri}: {error.strerror or error}") from error
    except BaseError as error:
        raise StoreUnavailable(f"{uri}: {str(error).splitlines()[0]}") from error


# Step Functions tries an invocation again, with jitter and a backoff of its own, so what S3 does not give soon is
# better told than waited for: by itself obstore would try ten times in three minutes, longer than a function has.
# Two retries are for what passes at once (a dropped connection, a lone 503). A connection is made in milliseconds
# within a Region; a request, its body with it, is at most tens of MB; and that and the retries before it, together
# 90 s, end before PredictBatch's timeout of 120 s, so that a store which hangs is not taken for a poison item.
_CLIENT: "ClientConfig" = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}


def _s3(bucket: str) -> S3Store:
    """A bucket of S3, or of an endpoint that AWS_ENDPOINT names."""
    client = _CLIENT.copy()
    # obstore reads this variable only where it is told nothing.
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        client["allow_http"] = True
    return S3Store(bucket, client_options=client, retry_config=RETRIES)


# What S3 says of a range that begins where the object ends, as every range of an empty one does (API_GetObject).
_PAST_THE_END = "status code: 416"


class ObstoreBackend:
    """A bucket behind obstore: S3, or obstore's MemoryStore."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @staticmethod
    @contextmanager
    def _translated() -> Iterator[None]:
        try:
            yield
        except NotFoundError as error:
            raise FileNotFoundError(str(error)) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise PermissionError("access denied") from error
        except PreconditionError as error:
            raise ItemsChanged(str(error)) from error
        except AlreadyExistsError:
            raise
        except ValueError as error:  # a key that obstore cannot hold: x//y, or a part that is . or ..
            raise LocationError(str(error).splitlines()[0]) from error
        except BaseError as error:
            raise StoreUnavailable(str(error).splitlines()[0]) from error

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        with self._translated():
            if version_id is None:
                meta = self._store.head(key)
            else:
                meta = self._store.get(key, options={"head": True, "version": version_id}).meta
        return self._info(meta)

    @staticmethod
    def _info(meta: "ObjectMeta") -> ObjectInfo:
        """As the store tells of an object; what has the id of every version has none that could be pinned."""
        version_id = None if meta["version"] == UNVERSIONED else meta["version"]
        return ObjectInfo(meta["path"], meta["size"], meta["e_tag"] or "", version_id)

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        if end is not None and end <= start:
            return Body(b"", 0)
        if len(key.encode()) > MAX_KEY_BYTES:  # which S3 answers with 400, as if it were to be tried again
            raise FileNotFoundError(key)
        options: GetOptions = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        if pin is not None and pin.version_id:
            options["version"] = pin.version_id
        elif pin is not None:
            options["if_match"] = pin.etag
        try:
            with self._translated():
                got = self._store.get(key, options=options)
                first, last = got.range  # as far as the object goes
                return Body(bytes(got.bytes()), last - first)
        except StoreUnavailable as error:
            if "range" in options and _PAST_THE_END in str(error):
                return Body(b"", 0)
            raise

    def write(self, key: str, body: bytes) -> None:
        with self._translated():
            self._store.put(key, body)

    def create(self, key: str, body: bytes) -> bool:
        try:
            with self._translated():
                self._store.put(key, body, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        # S3 lists in key order; obstore's prefixes are whole path segments, so the trailing slash is implied.
        with self._translated():
            for chunk in self._store.list(prefix or None):
                for meta in chunk:
                    if meta["size"] or not self._is_folder(meta["path"], prefix):
                        yield self._info(meta)

    def _is_folder(self, key: str, prefix: str) -> bool:
        """Whether what is listed without a byte is no object, but a folder made in S3's console (using-folders).

        That is an object whose key ends with a slash, and obstore drops the slash; by that name it is not there.
        """
        if key + "/" == prefix:
            return True
        try:
            self.head(key)
        except FileNotFoundError:
            return True
        return False

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError), self._translated():
            self._store.delete(key)


def folders_of_settings() -> "dict[str, Backend]":
    """The folders that FANWISE_MOUNTS names; none on AWS."""
    contents = Contents(settings.contents_folder())
    return {
        name: FolderBackend(Path(mount.path), writable=mount.writable, contents=contents)
        for name, mount in settings.mounts().items()
    }


# What opening a name says that no file can have, beside "no such file".
_NO_FILE = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


class FolderBackend:
    """A folder that stands for a bucket.

    Its own few lines and not obstore's LocalStore, which follows symlinks out of the folder and refuses names
    that a file system holds (docs/adr/0003-obstore.md).
    """

    def __init__(self, root: Path, *, writable: bool, contents: Contents | None = None) -> None:
        """`contents` knows what files hold; else this backend finds out by itself."""
        self._root = os.path.realpath(root)
        self._writable = writable
        self._contents = contents or Contents()

    def _path(self, key: str) -> str:
        if any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
            raise LocationError("a key of a mounted folder has no empty, '.' or '..' part")
        path = os.path.realpath(os.path.join(self._root, key))
        if not path.startswith(self._root.rstrip("/") + "/"):
            raise LocationError(
                "leads out of the mounted folder (a symlink?); copy the file, or mount its folder by --root"
            )
        return path

    def _path_to_write(self, key: str) -> str:
        if not self._writable:
            raise PermissionError("the folder is mounted read-only")
        path = self._path(key)
        make_folder(os.path.dirname(path))
        return path

    @staticmethod
    def _info(key: str, file: os.stat_result) -> ObjectInfo:
        return ObjectInfo(key, file.st_size, f"{file.st_ino:x}-{file.st_mtime_ns:x}-{file.st_size:x}")

    @contextmanager
    def _open(self, key: str) -> Iterator[tuple[IO[bytes], ObjectInfo]]:
        path = self._path(key)
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # a folder; or a pipe, which would never answer
                raise FileNotFoundError(key)
            file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            if error.errno in _NO_FILE:
                raise FileNotFoundError(key) from error
            raise
        with file:
            yield file, self._info(key, os.fstat(file.fileno()))

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        if version_id is not None:  # a folder keeps none
            raise FileNotFoundError(key)
        with self._open(key) as (_, info):
            return info

    def pin(self, key: str) -> ObjectInfo:
        with self._open(key) as (file, _):
            etag = self._contents.etag_of(file)
            return ObjectInfo(key, os.fstat(file.fileno()).st_size, etag)

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        with self._open(key) as (file, info):
            if pin is not None and not self._is(pin, file, info):
                raise ItemsChanged(key)
            file.seek(start)
            last = info.size_bytes if end is None else min(end, info.size_bytes)
            return Body(file.read(-1 if end is None else max(end - start, 0)), max(last - start, 0))

    def _is(self, pin: ObjectInfo, file: IO[bytes], info: ObjectInfo) -> bool:
        """Whether an open file is what was pinned."""
        if not pin.etag.startswith(ETAG_PREFIX):
            return pin.etag == info.etag
        return pin.size_bytes == info.size_bytes and pin.etag == self._contents.etag_of(file)

    def _temporary(self, path: str, body: bytes) -> str:
        return write_synced(os.path.dirname(path), body)

    def write(self, key: str, body: bytes) -> None:
        path = self._path_to_write(key)
        os.replace(self._temporary(path, body), path)
        sync_folder(os.path.dirname(path))

    def create(self, key: str, body: bytes) -> bool:
        path = self._path_to_write(key)
        temporary = self._temporary(path, body)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        sync_folder(os.path.dirname(path))
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = self._root if prefix == "" else self._path(prefix.rstrip("/"))
        yield from self._walk(folder, prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(folder) as found:
                children = sorted(found, key=lambda e: e.name + "/" if e.is_dir() else e.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for child in children:
            if child.name.startswith(TEMPORARY):
                continue
            if child.is_symlink() and child.is_dir():
                raise LocationError(
                    f"{prefix}{child.name} is a symlink to a folder, which is not followed; copy it"
                )
            if child.is_dir():
                yield from self._walk(child.path, f"{prefix}{child.name}/")
            else:
                yield self._info(prefix + child.name, child.stat())

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._path_to_write(key))
