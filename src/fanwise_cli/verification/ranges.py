"""The bytes of the items file that each entry was made of, against the digests in the commits."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from fanwise.commits import READERS, commit_key
from fanwise.digests import sha256_of_bytes
from fanwise.errors import ItemsChanged
from fanwise.items.lines import bytes_to_read
from fanwise.records import Commit, Entry, Job
from fanwise.storage import Storage

_AT_ONCE = 1000  # commits whose ranges wait to be read


def other_ranges(
    storage: Storage, job: Job, commits: Sequence[Commit], entries: Mapping[str, Entry]
) -> Iterator[str]:
    """Ranges of the items file that are no longer what a commit was made of."""

    def digest(commit: Commit) -> str | None:
        try:
            return sha256_of_bytes(
                storage.read(job.items.uri, *bytes_to_read(entries[commit.entry]), job.items.pin())
            )
        except (ItemsChanged, FileNotFoundError):
            return None

    named = [commit for commit in commits if commit.items_sha256]
    with ThreadPoolExecutor(READERS) as readers:
        for begin in range(0, len(named), _AT_ONCE):
            some = named[begin : begin + _AT_ONCE]
            for commit, found in zip(some, readers.map(digest, some), strict=True):
                if found != commit.items_sha256:
                    entry = entries[commit.entry]
                    yield (
                        f"{job.items.uri}, from line {entry.first_line} on (bytes {entry.start:,} to"
                        f" {entry.end:,}), is not what entry {entry.entry} was made of, by {commit_key(entry.entry)}"
                    )
