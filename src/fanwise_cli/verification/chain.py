"""The chain of a job: files of its ledger by digests.txt, that by summary.json, and that by its root.

What a file says is compared elsewhere; here only whether it is still the file that it was when the job ended. The
first link that does not hold is named, and not those that follow from it.
"""

from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from fanwise.commits import READERS, commit_key, read_answers
from fanwise.digests import DIGESTS_KEY, digests_of, digests_text, read_digests, root_of, sha256_of_bytes
from fanwise.records import Commit, execution_key
from fanwise.storage import Location, Storage
from fanwise_cli.verification.ledger import Statements, is_there, read_claim_of, read_execution_of

NO_DIGESTS = (
    "the ledger: the job was run before ledgers had digests; changes of its files that agree are not seen"
)


class Chain:
    """The digests of a job that has ended, made again from its files."""

    def __init__(self, storage: Storage, home: str, says: Statements) -> None:
        self._storage, self._home, self._says = storage, home, says
        self._commits: Sequence[Commit] = says.ledger.commits if says.ledger is not None else ()
        self.root: str | None = None

    @property
    def is_without_digests(self) -> bool:
        """Whether the job was run before there were any."""
        summary = self._says.summary
        has_some = any(commit.code or commit.items_sha256 for commit in self._commits)
        return summary is not None and not (has_some or "root" in summary or "digests" in summary)

    def broken(self) -> Iterator[str]:
        """What is not what it was when the job ended: file first, in words."""
        summary = self._says.summary
        if summary is None or self.is_without_digests:
            return
        digests = digests_of(self._storage, self._home, self._commits)
        text = digests_text(digests)
        self.root = root_of({**summary, "digests": sha256_of_bytes(text)})
        yield from self._other_files(digests, str(summary.get("digests")))
        yield from self._other_answers()
        yield from self._other_holder(str(summary.get("execution")))
        yield from self._other_mark(str(summary.get("status")))
        if root_of(summary) != summary.get("root"):
            yield (
                f"summary.json is not what was written when the job ended: it says root {summary.get('root')}, and"
                f" its values make {root_of(summary)}"
            )

    def _other_files(self, digests: dict[str, str], said: str) -> Iterator[str]:
        try:
            text = self._storage.read(self._home + DIGESTS_KEY)
        except FileNotFoundError:
            yield f"{DIGESTS_KEY}, which names the digest of each file of the ledger, is not there"
            if sha256_of_bytes(digests_text(digests)) != said:
                yield "the ledger is not what it was when the job ended, by the digest in summary.json"
            return
        if sha256_of_bytes(text) != said:
            yield f"{DIGESTS_KEY} is not what it was when the job ended: summary.json has another digest of it"
        stored = read_digests(text)
        for name in sorted(stored.keys() | digests.keys()):
            if self._says.ledger is None and name.startswith("commits/"):
                continue  # none was read: that is said already
            if name not in digests:
                yield f"{name} is not there, or no entry leads to it; {DIGESTS_KEY} names it"
            elif name not in stored:
                yield f"{name} was not there when the job ended: {DIGESTS_KEY} does not name it"
            elif digests[name] != stored[name]:
                yield f"{name} is not what it was when the job ended: {DIGESTS_KEY} has another digest of it"
        if self._says.ledger is not None:
            yield from self._unreached(digests.keys())
            yield from self._with_more()

    def _unreached(self, names: Container[str]) -> Iterator[str]:
        prefix = Location.parse(self._home).key
        for info in self._storage.list(self._home + "commits/"):
            name = info.key.removeprefix(prefix)
            if name.endswith(".json") and name not in names:
                yield f"{name} is the commit of no entry of this job"

    def _with_more(self) -> Iterator[str]:
        """Commits with keys that no commit has: their digest is of what is known of them."""

        def has_more(commit: Commit) -> bool:
            text = self._storage.read(self._home + commit_key(commit.entry))
            return _has_more(msgspec.json.decode(text), msgspec.to_builtins(commit))

        with ThreadPoolExecutor(READERS) as readers:
            for commit, more in zip(self._commits, readers.map(has_more, self._commits), strict=True):
                if more:
                    yield f"{commit_key(commit.entry)} has keys that no commit has"

    def _other_answers(self) -> Iterator[str]:
        """What the children of the Map Runs answered with, which a resume would go by."""
        answers = read_answers(self._storage, self._home)
        for commit in self._commits:
            if answers.get(commit.entry, commit) != commit:
                yield f"commits/{commit.entry}.json is not what its invocation answered, which lies in map-run/"

    def _other_holder(self, execution: str) -> Iterator[str]:
        claim = read_claim_of(self._storage, self._home)
        if claim is None:
            yield "claim.json is not there, or damaged"
            return
        if claim.execution != execution:
            yield f"claim.json says execution {claim.execution!r}, and summary.json {execution!r}"
        job_id = self._home.rstrip("/").rpartition("/")[2]
        if claim.job_id != job_id:
            yield f"claim.json is of job {claim.job_id!r}"
        elif read_execution_of(self._storage, self._home, claim.execution) != job_id:
            yield f"{execution_key(claim.execution)} does not name this job, whose claim.json names it"

    def _other_mark(self, status: str) -> Iterator[str]:
        has_mark = is_there(self._storage, self._home + "_SUCCESS")
        if has_mark == (status == "FAILED"):
            yield f"_SUCCESS is {'' if has_mark else 'not '}there, and summary.json says {status}"


def _has_more(found: Any, known: Any) -> bool:
    """Whether JSON has keys that what was read of it has not."""
    if isinstance(found, dict) and isinstance(known, dict):
        return any(name not in known or _has_more(value, known[name]) for name, value in found.items())
    if isinstance(found, list) and isinstance(known, list | tuple):
        return any(_has_more(one, other) for one, other in zip(found, known, strict=False))
    return False
