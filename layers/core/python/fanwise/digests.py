"""Digests of a job: of bytes, of the code that wrote them, of each file of its ledger, and the root over all.

`digests.txt` in the job's home names each file of the ledger with its sha256, as `sha256sum` writes it:
`job.json`, `claim.json`, `work/…`, `commits/…` and `parts.jsonl`. A commit names the digests of its parts and of
the items that it was made of. `summary.json` has the digest of digests.txt, and the root is the digest of the
summary itself, but for the root and what it says of replays, which are jobs with roots of their own
(docs/adr/0019-the-proof.md).
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from fanwise.records import Commit
from fanwise.storage import Location, Storage

DIGESTS_KEY = "digests.txt"  # below the job's home
_CODE_DIGITS = 16  # of the code's digest: it names a version of the code, and is no proof of it
_NOT_IN_ROOT = ("root", "replays")
_by_entry = attrgetter("entry")

# Keys of dictionaries in alphabetical order: the same commit is the same bytes, whichever way it came.
commit_encoder = msgspec.json.Encoder(order="deterministic")
_summary_encoder = msgspec.json.Encoder(order="sorted")


def sha256_of_bytes(data: bytes | memoryview) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


@cache
def code_digest() -> str:
    """A short digest of the files of this package; read once a process, where a commit is first written."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:_CODE_DIGITS]


def digests_of(storage: Storage, home: str, commits: Iterable[Commit]) -> dict[str, str]:
    """The sha256 of each file of a job's ledger, by its name below `home`, always in the same order.

    Of a commit it is that of its canonical encoding, in which it is written: AggregateResults has most of them
    from the Map Run's answers. What is not there is left out.
    """
    prefix = Location.parse(home).key
    names = ["claim.json", "job.json", "parts.jsonl"]
    names += [info.key.removeprefix(prefix) for info in storage.list(home + "work/")]
    found: dict[str, str] = {}
    for name in sorted(names):
        try:
            found[name] = sha256_of_bytes(storage.read(home + name))
        except FileNotFoundError:
            continue
    encode, sha256 = commit_encoder.encode, hashlib.sha256  # of a hundred thousand commits
    for commit in sorted(commits, key=_by_entry):
        found[f"commits/{commit.entry}.json"] = sha256(encode(commit)).hexdigest()
    return found


def digests_text(digests: Mapping[str, str]) -> bytes:
    """digests.txt: what `sha256sum --check` reads."""
    return "".join([f"{digest}  {name}\n" for name, digest in digests.items()]).encode()


def read_digests(text: bytes) -> dict[str, str]:
    """What digests.txt says; lines that say nothing are left out."""
    pairs = (line.partition("  ") for line in text.decode("utf-8", "replace").splitlines())
    return {name: digest for digest, separator, name in pairs if separator}


def root_of(summary: Mapping[str, Any]) -> str:
    """The root of a job: the sha256 of its summary, in canonical JSON, but for the root itself and the replays."""
    rest = {name: value for name, value in summary.items() if name not in _NOT_IN_ROOT}
    return sha256_of_bytes(_summary_encoder.encode(rest))
