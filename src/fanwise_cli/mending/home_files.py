"""The files of a job's home on this machine, and where those go that are not what was written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fanwise.digests import DIGESTS_KEY, read_digests, sha256_of_bytes
from fanwise.durable import TEMPORARY, make_folder, sync_folder
from fanwise_cli.mending.checks import Unusable, decoded, read_file


@dataclass
class HomeFiles:
    """`folder` is the job's home; what is set aside goes below `aside`; `tell` is given the lines."""

    folder: Path
    aside: Path
    tell: Callable[[str], None]
    told: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.ended_by: str | None = None  # the execution whose summary is there
        self._recorded = self._read_digests()

    def _read_digests(self) -> dict[str, str]:
        """What digests.txt says of the ledger; nothing where the job has not ended, or where it is damaged."""
        try:
            summary = decoded(self.path("summary.json"), dict[str, Any])
            self.ended_by = summary.get("execution")
            text = read_file(self.path(DIGESTS_KEY))
        except Unusable:
            return {}
        return read_digests(text) if sha256_of_bytes(text) == summary.get("digests") else {}

    def check_digest(self, key: str) -> None:
        """Raises `Unusable` where a file, which is written once, is not what it was when the job ended."""
        recorded = self._recorded.get(key)
        if recorded is not None and sha256_of_bytes(self.path(key).read_bytes()) != recorded:
            raise Unusable("is not what it was when the job ended")

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / key

    def has(self, key: str) -> bool:
        """Whether there is such a file or folder."""
        return self.path(key).exists()

    def set_aside(self, key: str) -> None:
        """Move a file or folder, if it is there, to where it harms nobody."""
        path, target = self.path(key), self.aside / key
        if not path.exists():
            return
        number = 0
        while target.exists():
            number += 1
            target = self.aside / f"{key}.{number}"
        make_folder(target.parent)
        path.replace(target)
        sync_folder(path.parent)

    def say(self, key: str, wrong: str, then: str) -> None:
        """Tell what is wrong with a file, and what is done about it."""
        self.told += 1
        self.tell(f"{self.path(key)} {wrong}; {then}")

    def remove_unfinished(self) -> None:
        """Remove what was being written when the machine stopped."""
        for pattern in (f"{TEMPORARY}*", f"*/{TEMPORARY}*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
