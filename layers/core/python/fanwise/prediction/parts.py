"""The lines of one entry, on their way into its two parts."""

from fanwise.records import Part
from fanwise.storage import Storage


class PartWriter:
    """Gathers lines in index order and writes them as one object, under a name unique to the attempt."""

    def __init__(self, folder: str, entry: str, request_id: str) -> None:
        self._key = f"{folder}/{entry}-{request_id}.jsonl"
        self._lines: list[bytes] = []
        self._first = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, index: int, line: bytes) -> None:
        """Take one line, with its line end."""
        if not self._lines:
            self._first = index
        self._lines.append(line)
        self.size_bytes += len(line)

    def write(self, storage: Storage, home: str) -> Part | None:
        """Write the part; None where it would be empty."""
        if not self._lines:
            return None
        storage.write(home + self._key, b"".join(self._lines))
        return Part(key=self._key, first=self._first, count=len(self._lines), size_bytes=self.size_bytes)
