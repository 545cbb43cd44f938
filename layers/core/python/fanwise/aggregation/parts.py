"""Which parts count: those that a commit names, and no others."""

from collections.abc import Sequence

from fanwise.records import Commit, Part
from fanwise.storage import Location, Storage


def parts_of(commits: Sequence[Commit]) -> tuple[list[Part], list[Part]]:
    """The parts that count, in index order."""
    predictions = sorted((c.predictions for c in commits if c.predictions), key=lambda part: part.first)
    failures = sorted((c.failures for c in commits if c.failures), key=lambda part: part.first)
    return predictions, failures


def remove_orphans(storage: Storage, home: str, commits: Sequence[Commit]) -> None:
    """Remove the parts of decided entries that their commits do not name.

    Parts of an entry that nobody has decided stay: whoever wrote them may be about to.
    """
    prefix = Location.parse(home).key
    decided = {commit.entry for commit in commits}
    counted = {part.key for commit in commits for part in (commit.predictions, commit.failures) if part}
    for folder in ("predictions/", "failures/"):
        keys = (found.key.removeprefix(prefix) for found in storage.list(home + folder))
        # A name is ENTRY-REQUEST_ID.jsonl.
        orphans = [
            key
            for key in keys
            if key not in counted and key.removeprefix(folder).partition("-")[0] in decided
        ]
        for key in orphans:
            storage.delete(home + key)
