"""What a verification comes to."""

import msgspec

from fanwise.recomputation import Recomputed

MAX_NAMED = 20  # runs of items, and lines, that are named of each kind


class ItemRun(msgspec.Struct, frozen=True, array_like=True):
    """Items `first` … `last`, by index."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a job, from its lines alone.

    `attempted` = `predicted` + `recovered` + `dead_lettered` + `lost`: an item counts as predicted where it has a
    prediction, as recovered where a replay predicted it, else as dead-lettered where it has a dead letter.
    `duplicated` are items with more than one line. `unexpected` are lines that are no prediction or dead letter of
    an item of this job. Of the items and lines concerned the first `MAX_NAMED` are named.

    `is_finished` says whether the job has come to its end; one that has not is counted by its commits. `orphans`
    are files that nothing counts; they do no harm. `disagreements` are what the job says of itself and its lines
    do not; `unchecked` is what could not be compared, and `limits` what no comparison of a job's files can prove.
    `root` is the root of the job as its files make it now (`fanwise.digests`). `recomputed` is what came of
    predicting some items again.
    """

    job_id: str
    attempted: int
    predicted: int
    dead_lettered: int
    lost: int
    duplicated: int
    unexpected: int
    is_finished: bool
    recovered: int = 0
    lost_items: tuple[ItemRun, ...] = ()
    duplicated_items: tuple[ItemRun, ...] = ()
    unexpected_lines: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    root: str | None = None
    recomputed: Recomputed | None = None
    replays: tuple["Verification", ...] = ()

    @property
    def is_proved(self) -> bool:
        """Whether every item is accounted for once, and everything agrees; of the replays, too."""
        wrong = self.lost or self.duplicated or self.unexpected or self.disagreements or self.unchecked
        if self.recomputed is not None and self.recomputed.agreed < self.recomputed.items:
            return False
        return not wrong and all(replay.is_proved for replay in self.replays)
