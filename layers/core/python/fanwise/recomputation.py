"""Which items of a job are predicted again, alone, and what came of it.

Counting and digests never notice a value that was wrong from the start; predicting it again, without neighbours
and where possible on the other runtime, does. `fanwise verify --recompute N` asks for it after a job, a manifest's
`recompute` within one: then AggregateResults draws the items (`work/recompute.jsonl`), PredictBatch predicts them
(`fanwise.prediction.recompute`), and AggregateResults counts what it found into the verdict.
"""

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

from fanwise.commits import read_work
from fanwise.records import Commit, Entry, Part, Runtime
from fanwise.storage import Storage

DRAWN_KEY = "work/recompute.jsonl"  # below the job's home
MAX_NAMED = 20  # differences that are listed

_encoder = msgspec.json.Encoder()


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions of one entry that are made again: `lines` (from 0) of its `part`."""

    entry: Entry
    part: Part
    lines: tuple[int, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction that comes out otherwise: its item, the file and line (from 1) that has it, and how."""

    index: int
    file: str
    line: int
    why: str


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of predicting `items` again on `runtime`: `agreed` of them did; the first others are in `differ`.

    `unread` of those drawn were not compared: what they point at cannot be read any more, or time was up.
    """

    items: int
    agreed: int
    unread: int
    runtime: Runtime
    differ: tuple[Difference, ...] = ()


_drawn_decoder = msgspec.json.Decoder(Drawn)


def draw(storage: Storage, home: str, commits: Sequence[Commit], items: int, seed: str) -> list[Drawn]:
    """Draw so many of a job's predictions, evenly over all of them; the same ones for the same `seed`.

    Of fewer predictions all. Each of as many equal stretches of the predictions, in index order, gives one.
    """
    parts = sorted(
        ((commit.entry, commit.predictions) for commit in commits if commit.predictions),
        key=lambda pair: pair[1].first,
    )
    ends = list(accumulate(part.count for _, part in parts))
    total = ends[-1] if ends else 0
    wanted = min(items, total)
    chance = random.Random(seed)
    lines: dict[int, list[int]] = {}
    for stretch in range(wanted):
        begin, end = total * stretch // wanted, total * (stretch + 1) // wanted
        position = chance.randrange(begin, end)
        number = bisect_right(ends, position)
        lines.setdefault(number, []).append(position - ends[number] + parts[number][1].count)
    entries = _entries({parts[number][0] for number in lines}, storage, home, commits)
    return [
        Drawn(entry=entries[parts[number][0]], part=parts[number][1], lines=tuple(drawn))
        for number, drawn in lines.items()
    ]


def _entries(names: set[str], storage: Storage, home: str, commits: Iterable[Commit]) -> dict[str, Entry]:
    """The entries of these names: planned ones stand in the first round's work, others in what a commit left."""
    left = {rest.entry: rest for commit in commits for rest in commit.rest if rest.entry in names}
    if len(left) == len(names):
        return left
    return left | {entry.entry: entry for entry in read_work(storage, home, 0) if entry.entry in names}


def write_drawn(storage: Storage, home: str, drawn: Sequence[Drawn]) -> None:
    """Write down what was drawn, for PredictBatch to read."""
    storage.write(home + DRAWN_KEY, _encoder.encode_lines(drawn))


def read_drawn(storage: Storage, home: str) -> list[Drawn]:
    """What was drawn."""
    return _drawn_decoder.decode_lines(storage.read(home + DRAWN_KEY))
