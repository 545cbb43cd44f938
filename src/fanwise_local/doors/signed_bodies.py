"""The body of a signed request: held against its digest, and taken out of the chunks that AWS's SDKs send it in.

`aws-chunked` is a content encoding of S3: `SIZE[;chunk-signature=SIGNATURE]` and so many bytes, to a chunk of
none, and trailers after it. Each signature is over the one before, so chunks can be neither changed, left out nor
exchanged (sigv4-streaming, sigv4-streaming-trailers).
"""

import hashlib
import hmac
import re
import tempfile
from dataclasses import dataclass, field
from typing import IO

from fanwise_local.doors.claims import Claim, Headers, SignatureRefused, Why
from fanwise_local.doors.signatures import CONTENT_SHA256, UNSIGNED_PAYLOAD, Signatures

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER)

_EMPTY = hashlib.sha256(b"").hexdigest()
_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\r?\n")
_MAX_LINE_BYTES = 8 * 1024
_MAX_TRAILERS = 16
_READ_BYTES = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


def payload_of(claim: Claim | None, service: str, headers: Headers) -> str:
    """What stands for the body in a signature: the digest that a request gives of it, or a word in its place.

    Empty where the request gives none: the digest of what comes then. Raises `SignatureRefused`.
    """
    given = headers.get(CONTENT_SHA256, "")
    is_link = claim is not None and claim.expires_s is not None
    if service != "s3":
        if given and not _DIGEST.fullmatch(given):
            raise SignatureRefused(
                Why.MALFORMED, f"{CONTENT_SHA256} is {given[:60]!r}; the body's SHA-256, in hex"
            )
        return given
    if not given:
        if claim is None or is_link:
            return UNSIGNED_PAYLOAD
        raise SignatureRefused(Why.MALFORMED, f"a signed request of S3 has {CONTENT_SHA256}")
    if given != UNSIGNED_PAYLOAD and given not in STREAMING and not _DIGEST.fullmatch(given):
        raise SignatureRefused(
            Why.MALFORMED,
            f"{CONTENT_SHA256} is {given[:60]!r}; a SHA-256 in hex, {UNSIGNED_PAYLOAD} or STREAMING-…",
        )
    return given


def check_digest(body: IO[bytes], given: str) -> None:
    """Raises `SignatureRefused` where a body is not the one of its digest."""
    if digest_of(body) != given:
        raise SignatureRefused(
            Why.OTHER_BODY, f"the body's SHA-256 is not {given}, which {CONTENT_SHA256} says"
        )


def digest_of(body: IO[bytes]) -> str:
    """The SHA-256 of a body, in hex; it is at its end afterwards, as it was."""
    body.seek(0)
    digest = hashlib.sha256()
    while piece := body.read(_READ_BYTES):
        digest.update(piece)
    return digest.hexdigest()


@dataclass
class Unpacked:
    """What was in the chunks, and the trailers after them."""

    body: IO[bytes]
    trailers: dict[str, str] = field(default_factory=dict)


class Chunks:
    """Takes a body out of its chunks. `claim` and `signatures` are None where nothing is asked for."""

    def __init__(
        self, headers: Headers, in_memory_bytes: int, claim: Claim | None, signatures: Signatures | None
    ) -> None:
        self._kind = headers.get(CONTENT_SHA256, "")
        self._is_signed = self._kind != UNSIGNED_TRAILER
        self._size = headers.get("X-Amz-Decoded-Content-Length", "")
        self._in_memory_bytes = in_memory_bytes
        self._claim = claim
        self._signatures = signatures
        self._previous = claim.signature if claim is not None else ""

    def unpack(self, packed: IO[bytes]) -> Unpacked:
        """Reads it from its beginning. Raises `SignatureRefused`."""
        if not (self._size.isascii() and self._size.isdecimal()):
            raise SignatureRefused(Why.INCOMPLETE, "a body in chunks has X-Amz-Decoded-Content-Length")
        packed.seek(0)
        body = tempfile.SpooledTemporaryFile(self._in_memory_bytes)  # noqa: SIM115 - its reader closes it
        try:
            while self._copy_chunk(packed, body):
                pass
            self._check_size(body.tell())
            return Unpacked(body, self._trailers(packed))
        except BaseException:
            body.close()
            raise

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes != int(self._size):
            raise SignatureRefused(
                Why.INCOMPLETE, f"{size_bytes} bytes came in chunks, and {self._size[:20]} were to come"
            )

    def _copy_chunk(self, packed: IO[bytes], body: IO[bytes]) -> int:
        """One chunk; how many bytes it had."""
        found = _HEADER.fullmatch(packed.readline(_MAX_LINE_BYTES))
        if found is None or (self._is_signed and found[2] is None):
            raise SignatureRefused(Why.INCOMPLETE, "the body is not in chunks as aws-chunked has them")
        left = size = int(found[1], 16)
        digest = hashlib.sha256()
        while left and (piece := packed.read(min(left, _READ_BYTES))):
            left -= len(piece)
            digest.update(piece)
            body.write(piece)
        if left or (size and packed.read(2) != b"\r\n"):
            raise SignatureRefused(Why.INCOMPLETE, "the body ends within a chunk")
        if self._is_signed:
            self._check(found[2].decode(), "PAYLOAD", f"{_EMPTY}\n{digest.hexdigest()}", "a chunk")
        return size

    def _trailers(self, packed: IO[bytes]) -> dict[str, str]:
        lines: list[str] = []
        while (line := packed.readline(_MAX_LINE_BYTES).strip()) and len(lines) < _MAX_TRAILERS:
            lines.append(line.decode("latin-1"))
        pairs = [
            (name.strip().lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)
        ]
        trailers = dict(pairs)
        signature = trailers.pop("x-amz-trailer-signature", "")
        if self._kind == SIGNED_TRAILER:
            text = "".join(f"{name}:{value}\n" for name, value in pairs if name in trailers)
            self._check(
                signature, "TRAILER", hashlib.sha256(text.encode("latin-1")).hexdigest(), "the trailer"
            )
        return {name: value for name, value in trailers.items() if name.startswith("x-amz-checksum-")}

    def _check(self, signature: str, kind: str, digests: str, what: str) -> None:
        """Hold one signature of the chain against what it is over."""
        claim, signatures = self._claim, self._signatures
        if claim is None or signatures is None:
            return
        text = f"AWS4-HMAC-SHA256-{kind}\n{claim.timestamp}\n{claim.scope}\n{self._previous}\n{digests}"
        expected = signatures.sign(claim, text)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise SignatureRefused(
                Why.MISMATCH, f"the signature of {what} is not that of the secret access key"
            )
        self._previous = expected
