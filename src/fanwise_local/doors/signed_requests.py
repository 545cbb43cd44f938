"""Who is let in: requests that are signed with the secret that `fanwise up` printed, and their bodies as signed.

A claim is checked before the body is read, so nobody without the secret fills the disk; what can only be said of
the whole body is checked after it, and before any service sees the request.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import IO

from aiohttp import web

from fanwise_local.doors.claims import Claim, read_claim
from fanwise_local.doors.signatures import CONTENT_SHA256, UNSIGNED_PAYLOAD, KeyPair, Signatures
from fanwise_local.doors.signed_bodies import STREAMING, Chunks, Unpacked, check_digest, digest_of, payload_of
from fanwise_local.doors.signed_links import check_old_link, is_old_link
from fanwise_local.doors.wsgi import IN_MEMORY_BYTES, environ_name


class Gate:
    """Checks requests against a key pair; without one (`--insecure`) everything is let in."""

    def __init__(self, keys: KeyPair | None, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now
        self._signatures = Signatures(keys, now) if keys is not None else None

    def admit(self, request: web.BaseRequest, service: str) -> Claim | None:
        """Before the body is read. Raises `SignatureRefused`."""
        if self._keys is None or self._signatures is None:
            return None
        target, headers = request.raw_path, request.headers
        claim = read_claim(target, headers)
        if claim is None and service == "s3" and is_old_link(target):
            check_old_link(request.method, target, headers, self._keys, self._now)
            return None
        claim = self._signatures.check_claim(claim, service, headers)
        if payload := payload_of(claim, service, headers):
            self._signatures.check(claim, request.method, target, headers, payload)
        return claim

    async def opened(
        self, request: web.BaseRequest, service: str, claim: Claim | None, body: IO[bytes]
    ) -> tuple[IO[bytes], Mapping[str, str]]:
        """The body as its sender had it, and what else the service is to find among the headers (WSGI's names).

        Raises `SignatureRefused`.
        """
        payload = payload_of(claim, service, request.headers)
        if payload in STREAMING:
            chunks = Chunks(request.headers, IN_MEMORY_BYTES, claim, self._signatures)
            unpacked = await asyncio.to_thread(chunks.unpack, body)
            return unpacked.body, _unpacked_headers(request, unpacked)
        if payload and payload != UNSIGNED_PAYLOAD:
            await _in_time(body, lambda: check_digest(body, payload))
        elif not payload and claim is not None and self._signatures is not None:
            digest = await _in_time(body, lambda: digest_of(body))
            self._signatures.check(claim, request.method, request.raw_path, request.headers, str(digest))
        return body, {}


async def _in_time(body: IO[bytes], work: Callable[[], str | None]) -> str | None:
    """What is read through here would keep others waiting, where it is large."""
    return work() if body.tell() < IN_MEMORY_BYTES else await asyncio.to_thread(work)


def _unpacked_headers(request: web.BaseRequest, unpacked: Unpacked) -> dict[str, str]:
    encodings = [part.strip() for part in request.headers.get("Content-Encoding", "").split(",")]
    kept = ",".join(one for one in encodings if one and one != "aws-chunked")
    return {
        environ_name(CONTENT_SHA256): UNSIGNED_PAYLOAD,
        environ_name("Content-Encoding"): kept,
        **{environ_name(name): value for name, value in unpacked.trailers.items()},
    }
