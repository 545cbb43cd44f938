"""Digests of a job: of bytes, of the code that wrote them, and the root over all that a job wrote.

The root is the sha256 of a list of lines, one a file, in one order: `NAME SHA256`. Of `job.json`, `claim.json` and
`work/N.jsonl` the digest is that of the bytes that lie there. Of a commit it is that of its canonical encoding,
since AggregateResults has most commits from the Map Run's answers and not from their objects; a commit names the
digests of its parts and of the items that it read, so the root is over those too (docs/adr/0019-the-proof.md).
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from fanwise.records import Commit

_CODE_DIGITS = 16  # of the code's digest: it names a version of the code, and is no proof of it

# Fields in the order of the type, names of errors in alphabetical order: the same commit is the same bytes.
_encoder = msgspec.json.Encoder(order="deterministic")


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


def commit_digest(commit: Commit) -> str:
    """The sha256 of a commit's canonical encoding, in hex."""
    return hashlib.sha256(_encoder.encode(commit)).hexdigest()


def root_of(files: Iterable[tuple[str, str]], commits: Iterable[Commit]) -> str:
    """The root of a job: `files` are names below its home with the sha256 of each, in any order."""
    listing = [f"{name} {digest}" for name, digest in files]
    listing += [f"commits/{commit.entry}.json {commit_digest(commit)}" for commit in commits]
    listing.sort()
    return sha256_of_bytes("\n".join(listing).encode())
