"""The account of a job: each line of each file that counts, then what the job says of itself, then its replays."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fanwise.errors import FanwiseError, ItemsChanged, LocationError
from fanwise.recomputation import Recomputed
from fanwise.records import Commit, Entry, Job, Part
from fanwise.replays import replays_of, told_of_replays
from fanwise.storage import Location, Storage
from fanwise_cli.verification.account import DEAD_LETTERED, PREDICTED, Account
from fanwise_cli.verification.chain import NO_DIGESTS, Chain
from fanwise_cli.verification.collected import other_than_the_parts
from fanwise_cli.verification.ledger import (
    FAILURES,
    PREDICTIONS,
    Statements,
    home_of_other,
    is_there,
    parts_of,
    read_plan,
    read_statements,
)
from fanwise_cli.verification.lines import (
    read_dead_letter,
    read_prediction,
    wrong_with_dead_letter,
    wrong_with_prediction,
)
from fanwise_cli.verification.model import read_model
from fanwise_cli.verification.outputs import Outputs
from fanwise_cli.verification.planned import PlannedItems
from fanwise_cli.verification.ranges import other_ranges
from fanwise_cli.verification.result import MAX_NAMED, Verification
from fanwise_cli.verification.verdict import gaps, other_counts, other_verdict

# Predicts some of a job's items again: its plan, its home, its commits, and a seed.
Recompute = Callable[[Job, str, Sequence[Commit], str], Recomputed | None]

_index_decoder = msgspec.json.Decoder(int)


def verify_job(
    storage: Storage,
    home: str,
    collected: str | None = None,
    *,
    root: str | None = None,
    recompute: Recompute | None = None,
) -> Verification:
    """Verify the job at `home` (`s3://bucket/jobs/JOB_ID/`), and the replays of its dead letters.

    `collected` is the folder (`s3://…/`) that its predictions.jsonl, failures.jsonl and summary.json were brought
    to; `root` the root that the job had (hex), kept elsewhere. `recompute` predicts some items again. Raises
    `InputError` where there is no job, `FanwiseError` where its plan is damaged, `StoreUnavailable`.
    """
    job = read_plan(storage, home)
    check = _Check(storage, home, job, read_statements(storage, home))
    check.read_lines()
    check.compare()
    check.compare_files(collected, root)
    if recompute is not None:
        check.recomputed = recompute(job, home, check.says.commits, check.root or job.job_id)
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
    limits: list[str] = field(default_factory=list)
    root: str | None = None
    recomputed: Recomputed | None = None
    outputs: Outputs | None = None
    points_elsewhere: bool = False  # an item names an object
    _wrong_outputs: str | None = None  # of the line that was read last
    wrong_lines: int = 0  # that are in no order, or whose outputs are not the model's

    def __post_init__(self) -> None:
        self.disagreements += self.says.troubles
        self._read_model()
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

    def _read_model(self) -> None:
        model = read_model(self.storage, self.job)
        self.disagreements += model.troubles
        if model.unread is not None:
            self.limits.append(model.unread)
        if model.contract is not None and model.signature is not None:
            self.outputs = Outputs(model.contract, model.signature)

    def read_lines(self) -> None:
        """Every line of every file that counts.

        Dead letters in turn with the predictions beside them, whose items are at hand then.
        """
        for part in sorted(self.says.parts, key=lambda part: part.first):
            try:
                size_bytes, lines, sha256 = self._read_part(part)
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
            elif part.sha256 and part.sha256 != sha256:
                self.disagreements.append(
                    f"{part.key} is not what was written: its commit has another digest of it"
                )
        if self.wrong_lines > MAX_NAMED:
            self.disagreements.append(f"{self.wrong_lines - MAX_NAMED:,} more lines are of such a kind")

    def _read_part(self, part: Part) -> tuple[int, int, str]:
        """Look at each line of a part; its size in bytes, its lines and its sha256."""
        uri = self.home + part.key
        info = self.storage.head(uri)
        look = self._look_at_prediction if part.key.startswith(PREDICTIONS) else self._look_at_dead_letter
        number, digest, order = 0, hashlib.sha256(), _Order(part, self._entry_of(part))
        for number, (line, is_whole) in enumerate(_lines(_hashed(self.storage.stream(uri, info), digest)), 1):
            index, wrong = look(line) if is_whole else (None, "is cut off: the file ends in the middle of it")
            if wrong is not None:
                self.unexpected += 1
                if len(self.unexpected_lines) < MAX_NAMED:
                    self.unexpected_lines.append(f"{part.key}, line {number}: {wrong}")
            elif index is not None and (wrong := order.wrong_with(index) or self._wrong_outputs):
                self.wrong_lines += 1
                if self.wrong_lines <= MAX_NAMED:
                    self.disagreements.append(f"{part.key}, line {number}: {wrong}")
        return info.size_bytes, number, digest.hexdigest()

    def _entry_of(self, part: Part) -> Entry | None:
        """The entry that a part is of: its file is named ENTRY-REQUEST_ID.jsonl."""
        return self.says.entries.get(part.key.partition("/")[2].partition("-")[0])

    def _look_at_prediction(self, line: bytes) -> tuple[int | None, str | None]:
        try:
            prediction = read_prediction(line)
        except ValueError as error:
            return None, str(error)
        index = prediction.index
        if not 0 <= index < len(self.account):
            return None, f"has index {index}, and the items are 0 to {len(self.account) - 1}"
        if self.items is not None:
            fields = self.items.fields(self.items.record(index))
            if wrong := wrong_with_prediction(prediction, fields):
                return None, wrong
            self.points_elsewhere |= fields is not None and fields.uri is not None
        self.account.note(index, PREDICTED)
        self._wrong_outputs = None if self.outputs is None else self.outputs.wrong_with(prediction.prediction)
        return index, None

    def _look_at_dead_letter(self, line: bytes) -> tuple[int | None, str | None]:
        try:
            letter = read_dead_letter(line)
        except ValueError as error:
            return None, str(error)
        index = letter.index
        if not 0 <= index < len(self.account):
            return None, f"has index {index}, and the items are 0 to {len(self.account) - 1}"
        if self.items is not None:
            record = self.items.record(index)
            fields = self.items.fields(record)
            job = self.job
            if wrong := wrong_with_dead_letter(letter, record, fields, job.items, job.model.kinds):
                return None, wrong
            self.points_elsewhere |= fields is not None and fields.uri is not None
        self.account.note(index, DEAD_LETTERED)
        self.errors[letter.failure.error] += 1
        self._wrong_outputs = None
        return index, None

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

    def compare_files(self, collected: str | None, root: str | None) -> None:
        """Hold the files against each other, against their digests, and against what was brought home."""
        says = self.says
        for commit in says.commits:
            self.disagreements += other_counts(commit, says.entries)
        if says.ledger is not None:
            self.disagreements += gaps(says.planned, self.job)
        if self.items is not None:
            self.disagreements += other_ranges(self.storage, self.job, says.commits, says.entries)
        if says.summary is not None:
            predicted, _, dead, lost = self.account.counts()
            counts = (predicted, dead, lost)
            self._add(other_verdict(says.summary, self.job, says, counts, self.errors))
            self._compare_replays(says.summary)
        self._compare_chain(root)
        if collected is not None and says.is_finished:
            parts = says.parts if says.ledger is None else parts_of(says.ledger)
            self.disagreements += other_than_the_parts(
                self.storage, self.home, parts, says.summary, collected
            )
        elif (
            collected is not None
            and not says.is_resumed
            and is_there(self.storage, collected + "summary.json")
        ):
            self.disagreements.append(
                "summary.json was brought home, and the job's home has not come to its end"
            )
        self._note_limits(root)

    def _add(self, found: Iterable[str]) -> None:
        """Take what is wrong, each file once: what is named already explains that its digest is another."""
        for said in found:
            name = said.partition(" ")[0].rstrip(",")
            if not any(known.partition(" ")[0].rstrip(",") == name for known in self.disagreements):
                self.disagreements.append(said)

    def _compare_chain(self, root: str | None) -> None:
        chain = Chain(self.storage, self.home, self.says)
        if chain.is_without_digests:
            self.limits.append(NO_DIGESTS)
        self._add(chain.broken())
        self.root = chain.root
        if root is not None and root != self.root:
            self.disagreements.append(
                f"the root that the files of the job make is {self.root}, and --root says {root}"
            )

    def _compare_replays(self, summary: dict[str, Any]) -> None:
        """Each replay that has ended says so in the summary of its parent, with its counts and its root."""
        said = summary.get("replays")
        found = told_of_replays(self.storage, Location.parse(self.home).bucket, self.home)
        by_id = {replay["job_id"]: replay for replay in found}
        wanted = [job_id for job_id in by_id if self._is_parent_of(job_id)]
        if isinstance(said, list) and all(isinstance(one, dict) for one in said):
            names = [one.get("job_id") for one in said]
            agree = all(one and one.items() <= by_id.get(one.get("job_id"), {}).items() for one in said)
            if agree and names == [job_id for job_id in by_id if job_id in names or job_id in wanted]:
                return
        self.disagreements.append("summary.json says other replays than there are, or other counts of them")

    def _is_parent_of(self, job_id: str) -> bool:
        try:
            return read_plan(self.storage, home_of_other(self.home, job_id)).parent == self.job.job_id
        except FanwiseError:
            return False

    def _note_limits(self, root: str | None) -> None:
        if self.points_elsewhere:
            self.limits.append("the objects that items point at, which may have changed since they were read")
        if root is None and self.root is not None:
            self.limits.append(
                "whether all files were rewritten to agree with each other: keep the root elsewhere, and give it"
                " as --root"
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
        replay.compare_files(collected, None)
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
            limits=tuple(self.limits),
            root=self.root,
            recomputed=self.recomputed,
            replays=tuple(replays),
        )


class _Order:
    """Whether the lines of a part come in the order of the items, and are of its entry."""

    def __init__(self, part: Part, entry: Entry | None) -> None:
        self._last = part.first - 1
        self._first: int | None = part.first
        self._entry = entry

    def wrong_with(self, index: int) -> str | None:
        """What is wrong with the index of the next line."""
        last, first, entry = self._last, self._first, self._entry
        self._last, self._first = max(index, last), None
        if index <= last:
            return f"has index {index} after {last}, out of order"
        if first is not None and index != first:
            return f"has index {index}, and its part begins with {first}"
        if entry is not None and not entry.first <= index < entry.first + entry.count:
            last = entry.first + entry.count - 1
            return f"has index {index}, and entry {entry.entry} has items {entry.first} to {last}"
        return None


def _hashed(chunks: Iterator[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    """The same chunks, taken into a digest on their way."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


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
