"""A bucket that keeps versions, as S3 does and obstore's MemoryStore does not."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from fanwise.errors import ItemsChanged
from fanwise.storage import Body, ObjectInfo


class Version(NamedTuple):
    """An object as it was written once; without a body it marks that the object was deleted."""

    info: ObjectInfo
    body: bytes | None


class VersionedBackend:
    """Every version of every object, newest last. `is_versioned` is False of a bucket that keeps only the last."""

    def __init__(self, *, is_versioned: bool = True) -> None:
        self._is_versioned = is_versioned
        self._objects: dict[str, list[Version]] = {}
        self._written = 0

    def _write(self, key: str, body: bytes | None) -> None:
        self._written += 1
        etag = f'"{hashlib.md5(body or b"", usedforsecurity=False).hexdigest()}"'
        version_id = f"v{self._written}" if self._is_versioned else None
        made = Version(ObjectInfo(key, len(body or b""), etag, version_id), body)
        kept = self._objects.get(key, []) if self._is_versioned else []
        self._objects[key] = [*kept, made]

    def _find(self, key: str, version_id: str | None) -> tuple[ObjectInfo, bytes]:
        versions = self._objects.get(key, [])
        for info, body in reversed(versions):
            if version_id in (None, info.version_id):
                if body is None:
                    break
                return info, body
        raise FileNotFoundError(key)

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        return self._find(key, version_id)[0]

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        info, body = self._find(key, None if pin is None else pin.version_id)
        if pin is not None and pin.version_id is None and pin.etag != info.etag:
            raise ItemsChanged(key)
        data = body[start:end]
        return Body(data, len(data))

    def write(self, key: str, body: bytes) -> None:
        self._write(key, body)

    def create(self, key: str, body: bytes) -> bool:
        if self._objects.get(key) and self._objects[key][-1].body is not None:
            return False
        self._write(key, body)
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self._objects):
            info, body = self._objects[key][-1]
            if key.startswith(prefix) and body is not None:
                yield info

    def delete(self, key: str) -> None:
        self._write(key, None)

    def delete_version(self, key: str, version_id: str) -> None:
        """Remove one version for good."""
        self._objects[key] = [one for one in self._objects[key] if one.info.version_id != version_id]
