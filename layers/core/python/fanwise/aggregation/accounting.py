"""A round, counted: what became of its entries, and what is left for the next one."""

from collections.abc import Sequence

import msgspec

from fanwise.commits import Walk
from fanwise.records import Entry, Job, Round


class Accounted(msgspec.Struct, frozen=True, kw_only=True):
    """A round, counted: items decided over all, this round's entries and what became of them."""

    decided: int
    entries: int
    died: int
    unfinished: int
    stalled: int
    next_entries: tuple[Entry, ...]


def account(before: Round, job: Job, ledger: Walk, entries: Sequence[Entry]) -> Accounted:
    """Count a round of `entries` by what the ledger says after it."""
    attempts = {entry.entry: entry.attempt for entry in entries}
    decided = job.total - sum(entry.count for entry in ledger.left)
    next_entries, unfinished = [], 0
    for entry in ledger.left:
        if entry.entry in attempts:  # was tried, and nobody committed it
            unfinished += 1
            next_entries.append(msgspec.structs.replace(entry, attempt=attempts[entry.entry] + 1))
        else:
            next_entries.append(entry)
    died = sum(1 for commit in ledger.commits if commit.died and commit.entry in attempts)
    got_somewhere = decided > before.decided or died > 0
    return Accounted(
        decided=decided,
        entries=len(entries),
        died=died,
        unfinished=unfinished,
        stalled=0 if got_somewhere else before.stalled + 1,
        next_entries=tuple(next_entries),
    )
