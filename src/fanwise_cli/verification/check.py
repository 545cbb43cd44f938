"""The account of a job: each line of each file that counts, then what the job says of itself, then its replays."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fanwise.errors import FanwiseError, ItemsChanged, LocationError
from fanwise.records import Job, Part
from fanwise.replays import replays_of
from fanwise.storage import Location, Storage
from fanwise_cli.verification.account import DEAD_LETTERED, PREDICTED, Account
from fanwise_cli.verification.collected import other_than_the_parts
from fanwise_cli.verification.ledger import (
    FAILURES,
    PREDICTIONS,
    Statements,
    home_of_other,
    read_plan,
    read_statements,
)
from fanwise_cli.verification.lines import (
    read_dead_letter,
    read_prediction,
    wrong_with_dead_letter,
    wrong_with_prediction,
)
from fanwise_cli.verification.planned import PlannedItems
from fanwise_cli.verification.result import MAX_NAMED, Verification

_index_decoder = msgspec.json.Decoder(int)


def verify_job(storage: Storage, home: str, collected: str | None = None) -> Verification:
    """Verify the job at `home` (`s3://bucket/jobs/JOB_ID/`), and the replays of its dead letters.

    `collected` is the folder (`s3://…/`) that its predictions.jsonl, failures.jsonl and summary.json were brought
    to. Raises `InputError` where there is no job, `FanwiseError` where its plan is damaged, `StoreUnavailable`.
    """
    job = read_plan(storage, home)
    check = _Check(storage, home, job, read_statements(storage, home))
    check.read_lines()
    check.compare()
    check.compare_collected(collected)
    replays = []
    for number, job_id in enumerate(replays_of(storage, home), 1):
        replays.append(check.replayed_by(job_id, collected and f"{collected}replays/{number}/"))
    return check.result([replay for replay in replays if replay is not None])


@dataclass
class _Check:
    """One job, while it is looked at."""

    storage: Storage
    home: str
    job: Job
    says: Statements
    disagreements: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    unexpected: int = 0
    unexpected_lines: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)  # of dead letters

    def __post_init__(self) -> None:
        self.disagreements += self.says.troubles
        self.items = self._items()
        self.account = Account(self.job.total if self.items is None else len(self.items))
        if len(self.account) != self.job.total:
            self.disagreements.append(
                f"job.json says {self.job.total} items, and {self.job.items.uri} has {len(self.account)}"
            )

    def _items(self) -> PlannedItems | None:
        try:
            return PlannedItems.of(self.storage, self.job)
        except ItemsChanged:
            why = "is not what was planned any more, or is gone"
        except FileNotFoundError:
            why = "is gone"
        except (LocationError, PermissionError) as error:
            why = f"cannot be read ({error})"
        self.unchecked.append(
            f"the items: {self.job.items.uri} {why}; lines are counted by index, up to the {self.job.total} of the"
            f" plan, and ids and carried keys are not compared"
        )
        return None

    def read_lines(self) -> None:
        """Every line of every file that counts.

        Dead letters in turn with the predictions beside them, whose items are at hand then.
        """
        for part in sorted(self.says.parts, key=lambda part: part.first):
            try:
                size_bytes, lines = self._read_part(part)
            except (FileNotFoundError, ItemsChanged):
                self.disagreements.append(f"{part.key}, which counts, is not there")
                continue
            except (LocationError, PermissionError) as error:
                self.disagreements.append(f"{part.key}, which counts, cannot be read: {error}")
                continue
            if (size_bytes, lines) != (part.size_bytes, part.count):
                self.disagreements.append(
                    f"{part.key} has {lines} lines in {size_bytes} bytes, and was written with {part.count} in"
                    f" {part.size_bytes}"
                )

    def _read_part(self, part: Part) -> tuple[int, int]:
        """Look at each line of a part; its size in bytes and lines."""
        uri = self.home + part.key
        info = self.storage.head(uri)
        look = self._look_at_prediction if part.key.startswith(PREDICTIONS) else self._look_at_dead_letter
        number = 0
        for number, (line, is_whole) in enumerate(_lines(self.storage.stream(uri, info)), 1):
            wrong = look(line) if is_whole else "is cut off: the file ends in the middle of it"
            if wrong is not None:
                self.unexpected += 1
                if len(self.unexpected_lines) < MAX_NAMED:
                    self.unexpected_lines.append(f"{part.key}, line {number}: {wrong}")
        return info.size_bytes, number

    def _look_at_prediction(self, line: bytes) -> str | None:
        try:
            prediction = read_prediction(line)
        except ValueError as error:
            return str(error)
        index = prediction.index
        if not 0 <= index < len(self.account):
            return f"has index {index}, and the items are 0 to {len(self.account) - 1}"
        if self.items is not None:
            record = self.items.record(index)
            if wrong := wrong_with_prediction(prediction, self.items.fields(record)):
                return wrong
        self.account.note(index, PREDICTED)
        return None

    def _look_at_dead_letter(self, line: bytes) -> str | None:
        try:
            letter = read_dead_letter(line)
        except ValueError as error:
            return str(error)
        index = letter.index
        if not 0 <= index < len(self.account):
            return f"has index {index}, and the items are 0 to {len(self.account) - 1}"
        if self.items is not None:
            record = self.items.record(index)
            fields = self.items.fields(record)
            job = self.job
            if wrong := wrong_with_dead_letter(letter, record, fields, job.items, job.model.kinds):
                return wrong
        self.account.note(index, DEAD_LETTERED)
        self.errors[letter.failure.error] += 1
        return None

    def compare(self) -> None:
        """What the ledger and the summary say, with what the lines say."""
        predicted, _, dead, lost = self.account.counts()
        lines = {"predicted": predicted, "dead_lettered": dead, "missing": lost}
        ledger = self.says.ledger
        if ledger is not None:
            commits = ledger.commits
            counted = {
                "predicted": sum(commit.predicted for commit in commits),
                "dead_lettered": sum(commit.dead_lettered for commit in commits),
                "missing": sum(entry.count for entry in ledger.left),
            }
            self._compare("the commits say", counted, lines)
        summary = self.says.summary
        if summary is not None:
            total = {"total": len(self.account), "duplicated": self.account.duplicated()}
            self._compare("summary.json says", summary["items"], total | lines)
            if summary.get("failures") != dict(self.errors):
                self.disagreements.append("summary.json counts other errors of dead letters than there are")

    def _compare(self, who: str, said: dict[str, Any], counted: dict[str, int]) -> None:
        other = [name for name, number in counted.items() if said.get(name) != number]
        if other:
            says = ", ".join(f"{said.get(name)} {name}" for name in other)
            has = ", ".join(f"{counted[name]} {name}" for name in other)
            self.disagreements.append(f"{who} {says}; the lines say {has}".replace("_", "-"))

    def compare_collected(self, collected: str | None) -> None:
        """Hold what was brought home against the parts, where the job has come to its end."""
        if collected is not None and self.says.is_finished:
            says = self.says
            self.disagreements += other_than_the_parts(
                self.storage, self.home, says.parts, says.summary, collected
            )

    def replayed_by(self, job_id: str, collected: str | None) -> Verification | None:
        """Verify a replay, and mark as recovered what it predicted; None where it was not even planned."""
        home = home_of_other(self.home, job_id)
        try:
            job = read_plan(self.storage, home)
        except FanwiseError:
            return None
        replay = _Check(self.storage, home, job, read_statements(self.storage, home))
        replay.read_lines()
        replay.compare()
        replay.compare_collected(collected)
        if replay.items is not None:
            self._recover(replay, replay.items)
        return replay.result([])

    def _recover(self, replay: "_Check", items: PlannedItems) -> None:
        """The items of a replay say under `index` which items of this job they were."""
        strangers = 0
        for index, record in items.records():
            parent_index = _parent_index(record.text)
            if parent_index is None or not self.account.is_dead_lettered(parent_index):
                strangers += 1
            elif replay.account.is_predicted(index):
                self.account.recover(parent_index)
        if strangers:
            replay.disagreements.append(
                f"{strangers} of its items are no dead letters that {self.job.job_id} had left"
            )

    def _orphans(self) -> Iterator[str]:
        counted = {part.key for part in self.says.parts}
        prefix = Location.parse(self.home).key
        for folder in (PREDICTIONS, FAILURES):
            for info in self.storage.list(self.home + folder):
                key = info.key.removeprefix(prefix)
                if key not in counted:
                    yield key

    def result(self, replays: list[Verification]) -> Verification:
        """What it comes to."""
        predicted, recovered, dead, lost = self.account.counts()
        return Verification(
            job_id=self.job.job_id,
            attempted=len(self.account),
            predicted=predicted,
            recovered=recovered,
            dead_lettered=dead,
            lost=lost,
            duplicated=self.account.duplicated(),
            unexpected=self.unexpected,
            is_finished=self.says.is_finished,
            lost_items=self.account.lost_items(),
            duplicated_items=self.account.duplicated_items(),
            unexpected_lines=tuple(self.unexpected_lines),
            orphans=tuple(self._orphans()),
            disagreements=tuple(self.disagreements),
            unchecked=tuple(self.unchecked),
            replays=tuple(replays),
        )


def _lines(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The lines of a file, without their ends, and whether each is whole: only a last one may not be."""
    begun: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun), True
            begun = [others.pop()]
            for line in others:
                yield line, True
    if last := b"".join(begun):
        yield last, False


def _parent_index(text: bytes) -> int | None:
    try:
        return _index_decoder.decode(msgspec.json.decode(text, type=dict[str, msgspec.Raw])["index"])
    except (msgspec.DecodeError, KeyError, RecursionError):
        return None
