"""How large a job may be: what an upload can start is decided by who deployed the stack, not by who uploads."""

from typing import NamedTuple

from fanwise.errors import ItemsFileError

ITEMS_PARAMETER = "MaxItemsPerJob"
BYTES_PARAMETER = "MaxBytesPerJob"


class JobLimits(NamedTuple):
    """The most items of a job, and bytes of its items file, or of a folder's files; 0 is no limit."""

    items: int = 0
    size_bytes: int = 0

    def check(self, uri: str, *, items: int = 0, size_bytes: int = 0) -> None:
        """Raises `ItemsFileError` for items of which there are that many at least."""
        if 0 < self.items < items:
            raise ItemsFileError(
                f"{uri}: has more than {self.items:,} items, the most that a job of this stack may have; cut it"
                f" into several, or deploy the stack with another {ITEMS_PARAMETER}"
            )
        if 0 < self.size_bytes < size_bytes:
            raise ItemsFileError(
                f"{uri}: has {size_bytes:,} bytes or more, and a job of this stack may have {self.size_bytes:,};"
                f" cut it into several, or deploy the stack with another {BYTES_PARAMETER}"
            )


NO_LIMITS = JobLimits()
