"""Which entries have a commit that is what was written, as are its parts; the others have none from now on."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from fanwise.commits import MAP_RUNS, commit_key
from fanwise.records import Commit, Entry, Part
from fanwise_cli.mending.checks import Unusable, check_commit, check_part, decoded
from fanwise_cli.mending.home_files import HomeFiles

_READERS = 16
_MOST_LINES = 5
_SUFFIX = ".json"


@dataclass
class Ledger:
    """The commits that are right, by entry, and the entries that have none."""

    commits: dict[str, Commit] = field(default_factory=dict)
    left: list[Entry] = field(default_factory=list)

    def parts(self) -> list[Part]:
        """The parts that count."""
        return [part for commit in self.commits.values() for part in _parts_of(commit)]


def read_ledger(files: HomeFiles, entries: Sequence[Entry]) -> Ledger:
    """Go from the plan through the commits; set aside what is wrong, and what lies below it."""
    ledger, wrong = Ledger(), _Wrong(files)
    level = list(entries)
    with ThreadPoolExecutor(_READERS) as readers:
        while level:
            below: list[Entry] = []
            for entry, commit in zip(level, readers.map(wrong.commit_of, level), strict=True):
                if commit is None:
                    ledger.left.append(entry)
                else:
                    ledger.commits[entry.entry] = commit
                    below += commit.rest
            level = below
    for path in files.folder.glob(f"commits/*{_SUFFIX}"):
        entry_id = path.name.removesuffix(_SUFFIX)
        if entry_id not in ledger.commits:
            _set_entry_aside(files, entry_id)
    wrong.tell()
    return ledger


def _parts_of(commit: Commit) -> list[Part]:
    return [part for part in (commit.predictions, commit.failures) if part]


def _set_entry_aside(files: HomeFiles, entry: str) -> None:
    files.set_aside(commit_key(entry))
    for folder in ("predictions", "failures"):
        for path in files.folder.glob(f"{folder}/{entry}-*.jsonl"):
            files.set_aside(f"{folder}/{path.name}")


class _Wrong:
    """What was wrong, by entry: the file, and what it has."""

    def __init__(self, files: HomeFiles) -> None:
        self._files = files
        self._found: dict[str, tuple[str, str]] = {}

    def commit_of(self, entry: Entry) -> Commit | None:
        """The commit of an entry where all is right. Several threads may ask."""
        key = commit_key(entry.entry)
        if not self._files.has(key):
            return None
        try:
            commit = decoded(self._files.path(key), Commit)
            self._files.check_digest(key)
            check_commit(entry, commit)
            for part in _parts_of(commit):
                key = part.key
                check_part(self._files.folder, part)
        except Unusable as error:
            self._found[entry.entry] = (key, str(error))
            return None
        return commit

    def tell(self) -> None:
        """A line for each entry that is done again, as far as they can be read."""
        for entry, (key, what) in sorted(self._found.items())[:_MOST_LINES]:
            self._files.say(key, what, f"the items of entry {entry} are predicted again")
        if len(self._found) > _MOST_LINES:
            more = len(self._found) - _MOST_LINES
            self._files.say("commits", f"are damaged in {more} more entries", "they are predicted again")


def check_answers(files: HomeFiles, commits: Mapping[str, Commit], told: Mapping[str, Commit]) -> None:
    """What children answered is read in place of their commits, so it has to be the same, or goes."""
    if all(commits.get(entry) == commit for entry, commit in told.items()):
        return
    if not files.told:
        gone = next((entry for entry in sorted(told) if entry not in commits), None)
        if gone is None:
            files.say(MAP_RUNS, "is not what was committed", "only the commits are read again")
        else:
            files.say(commit_key(gone), "is gone", f"the items of entry {gone} are predicted again")
    files.set_aside(MAP_RUNS.rstrip("/"))
