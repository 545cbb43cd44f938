"""What a simulated job writes, in memory, behind the storage that the handlers' own code uses.

The items are not there: each has as many bytes as the others, `{}` and spaces, so that any part of ten million of
them is made when it is read.
"""

import math
from collections.abc import Iterator

from fanwise.reckoning.estimate import LISTED_AT_ONCE
from fanwise.storage import Body, ObjectInfo, Storage

RESULTS, ITEMS = "results", "items"
ITEMS_KEY = "items.jsonl"
_SHORTEST = len(b"{}\n")


class Objects:
    """A bucket in memory."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self.commits = 0
        self.ledger_reads = 0  # of commits, by themselves or in the Map's files
        self.lists = 0  # requests, of 1,000 objects at most

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        return ObjectInfo(key, len(self._found(key)), "simulated")

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        self.ledger_reads += "/commits/" in key or "/SUCCEEDED_" in key
        data = self._found(key)[start:end]
        return Body(data, len(data))

    def write(self, key: str, body: bytes) -> None:
        self._objects[key] = body

    def create(self, key: str, body: bytes) -> bool:
        is_new = self._objects.setdefault(key, body) is body
        self.commits += is_new and "/commits/" in key
        return is_new

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = sorted(key for key in self._objects if key.startswith(prefix))
        self.lists += max(1, math.ceil(len(found) / LISTED_AT_ONCE))
        for key in found:
            yield self.head(key)

    def delete(self, key: str) -> None:
        self._objects.pop(key, None)

    def _found(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise FileNotFoundError(key) from None


class ItemsFile(Objects):
    """A bucket with one items file, that nobody wrote."""

    def __init__(self, items: int, size_bytes: int) -> None:
        super().__init__()
        self.item_bytes = max(_SHORTEST, size_bytes // max(items, 1))
        self.size_bytes = items * self.item_bytes
        self._line = b"{}" + b" " * (self.item_bytes - _SHORTEST) + b"\n"

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        return ObjectInfo(key, self.size_bytes, "simulated")

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        begin = start // self.item_bytes
        lines = self._line * (-(-end // self.item_bytes) - begin)
        offset = start - begin * self.item_bytes
        data = lines[offset : offset + max(0, end - start)]
        return Body(data, len(data))


def storage_of(results: Objects, items: ItemsFile) -> Storage:
    """Both buckets, as the handlers' code takes them."""
    return Storage({RESULTS: results, ITEMS: items}, s3=False)
