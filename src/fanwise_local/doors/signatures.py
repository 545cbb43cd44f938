"""Signature Version 4, as a service checks it (sigv4-create-canonical-request, sigv4-query-string-auth).

A request is signed over its method, path, query, the headers that it names and its body's digest, so whoever does
not have the secret can neither make nor change one. Nothing here waits or reads a body.
"""

import hashlib
import hmac
import re
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from fanwise_local.doors.claims import ALGORITHM, Claim, Headers, SignatureRefused, Why, parameters

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
CONTENT_SHA256 = "X-Amz-Content-Sha256"
MAX_SKEW_S = 15 * 60  # RESTAuthentication: RequestTimeTooSkewed

_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An access key: its id, which requests name, and the secret, which they are signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @classmethod
    def fresh(cls) -> Self:
        """One that nobody has had before, in the form of AWS's own."""
        letters = string.ascii_uppercase + string.digits
        key_id = "FANWISE" + "".join(secrets.choice(letters) for _ in range(13))
        return cls(key_id, secrets.token_hex(20))


class Signatures:
    """Checks requests against one key pair. `now` gives seconds since 1970."""

    def __init__(self, keys: KeyPair, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now

    def check_claim(self, claim: Claim | None, service: str, headers: Headers) -> Claim:
        """What can be said before a body is read. Raises `SignatureRefused`."""
        if claim is None:
            raise SignatureRefused(Why.MISSING, "sign it with the access key that fanwise up printed")
        if not hmac.compare_digest(_bytes(claim.access_key_id), _bytes(self._keys.access_key_id)):
            raise SignatureRefused(
                Why.UNKNOWN_KEY,
                f"the access key id {claim.access_key_id[:40]} is not the one that this fanwise up printed;"
                f" each start has another",
            )
        if claim.service != service:
            raise SignatureRefused(
                Why.MALFORMED, f"signed for {claim.service[:40]!r}, and sent to {service!r}"
            )
        if claim.expires_s is not None and service != "s3":
            raise SignatureRefused(Why.DENIED, "signed links are served of S3 alone")
        self._check_time(claim)
        unsigned = sorted(
            {n.lower() for n in headers if n.lower().startswith("x-amz-")} - {*claim.signed_headers}
        )
        if unsigned:
            raise SignatureRefused(
                Why.DENIED, f"there are headers that were not signed: {', '.join(unsigned)[:200]}"
            )
        return claim

    def _check_time(self, claim: Claim) -> None:
        age_s = self._now() - claim.time_s
        if claim.expires_s is not None and age_s >= -MAX_SKEW_S:
            if age_s > claim.expires_s:
                raise SignatureRefused(
                    Why.DENIED, f"Request has expired: the link held for {claim.expires_s} s"
                )
        elif abs(age_s) > MAX_SKEW_S:
            when = "Signature expired" if age_s > 0 else "Signature not yet current"
            raise SignatureRefused(
                Why.SKEWED,
                f"{when}: signed {abs(age_s):.0f} s {'ago' if age_s > 0 else 'ahead'}; at most {MAX_SKEW_S}",
            )

    def check(self, claim: Claim, method: str, target: str, headers: Headers, payload: str) -> None:
        """Hold the signature against the request. `payload` is its body's digest or what stands for it.

        Raises `SignatureRefused`.
        """
        request = canonical_request(claim, method, target, headers, payload)
        digest = hashlib.sha256(request).hexdigest()
        expected = self.sign(claim, f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest}")
        if not (_SIGNATURE.fullmatch(claim.signature) and hmac.compare_digest(expected, claim.signature)):
            raise SignatureRefused(
                Why.MISMATCH,
                "the signature is not that of the secret access key that this fanwise up printed",
            )

    def sign(self, claim: Claim, text: str) -> str:
        """The signature of a string to sign, in the scope of a claim."""
        seed = f"AWS4{self._keys.secret_access_key}".encode()
        key = reduce(_hmac, (claim.date, claim.region, claim.service, "aws4_request"), seed)
        return _hmac(key, text).hex()


def canonical_request(claim: Claim, method: str, target: str, headers: Headers, payload: str) -> bytes:
    """What the signature is over (sigv4-create-canonical-request)."""
    path, _, _ = target.partition("?")
    query = sorted(
        (_encoded(name), _encoded(value)) for name, value in parameters(target) if name != "X-Amz-Signature"
    )
    lines = [
        method,
        _path_of_s3(path) if claim.service == "s3" else _path(path),
        "&".join(f"{name}={value}" for name, value in query),
        *(f"{name}:{_trimmed(headers, name)}" for name in claim.signed_headers),
        "",
        ";".join(claim.signed_headers),
        payload,
    ]
    return _bytes("\n".join(lines))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, _bytes(text), "sha256")


def _trimmed(headers: Headers, name: str) -> str:
    return ",".join(" ".join(value.split()) for value in headers.getall(name, []))


def _path_of_s3(path: str) -> str:
    """Each part encoded once, however it was sent, and nothing normalised: `a/../b` is a key."""
    return "/".join(quote(unquote_to_bytes(_bytes(part)), safe="-_.~") for part in path.split("/"))


def _path(path: str) -> str:
    """Encoded twice, without `.`, `..` and doubled slashes (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    slash = "/" if kept and path.endswith("/") else ""
    return quote(_bytes("/" + "/".join(kept) + slash), safe="/-_.~")


def _encoded(text: str) -> str:
    return quote(_bytes(text), safe="-_.~")


def _bytes(text: str) -> bytes:
    """As it came: aiohttp decodes what is not UTF-8 so."""
    return text.encode("utf-8", "surrogateescape")
