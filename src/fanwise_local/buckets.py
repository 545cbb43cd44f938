"""The stack's buckets, wherever they are kept: in folders (`mounts`), or in memory (`doors.in_memory`)."""

from typing import Protocol

from fanwise.storage import Storage


class Buckets(Protocol):
    """What the local cloud asks of them."""

    def environment(self) -> dict[str, str]:
        """What the functions' processes are told, to reach them."""

    def storage(self) -> Storage:
        """The same buckets for this process."""
