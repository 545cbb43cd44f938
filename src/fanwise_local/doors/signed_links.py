"""Links that are signed as S3 did before Signature Version 4: boto3's, unless it is configured otherwise.

`?AWSAccessKeyId=…&Expires=…&Signature=…`, an HMAC-SHA1 over method, headers, expiry and the object
(RESTAuthentication, query string request authentication alternative). Only links: such headers are refused.
"""

import base64
import hmac
from collections.abc import Callable

from fanwise_local.doors.claims import Headers, SignatureRefused, Why, parameters
from fanwise_local.doors.signatures import KeyPair

_NAMES = ("AWSAccessKeyId", "Expires", "Signature")
# Parameters that say what is done with the object, or what the answer's headers are.
_COUNTED = frozenset(
    (
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "retention",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    )
)


def is_old_link(target: str) -> bool:
    """Whether a request is such a link."""
    return any(name == "AWSAccessKeyId" for name, _ in parameters(target))


def check_old_link(
    method: str, target: str, headers: Headers, keys: KeyPair, now: Callable[[], float]
) -> None:
    """Raises `SignatureRefused`."""
    given = {name: [value for key, value in parameters(target) if key == name] for name in _NAMES}
    wrong = [name for name, values in given.items() if len(values) != 1]
    if wrong:
        raise SignatureRefused(Why.MALFORMED, f"a signed link has {', '.join(wrong)} once")
    key_id, expires, signature = (given[name][0] for name in _NAMES)
    if not hmac.compare_digest(key_id.encode("utf-8", "surrogateescape"), keys.access_key_id.encode()):
        raise SignatureRefused(
            Why.UNKNOWN_KEY, f"the access key id {key_id[:40]} is not the one that is served here"
        )
    if not (expires.isascii() and expires.isdecimal()) or len(expires) > 12:
        raise SignatureRefused(Why.MALFORMED, f"Expires is {expires[:20]!r}; seconds since 1970")
    if now() > int(expires):
        raise SignatureRefused(Why.DENIED, "Request has expired")
    expected = _signature(method, target, headers, expires, keys)
    if not hmac.compare_digest(expected, signature.encode("utf-8", "surrogateescape")):
        raise SignatureRefused(Why.MISMATCH, "the signature is not that of the secret access key")


def _signature(method: str, target: str, headers: Headers, expires: str, keys: KeyPair) -> bytes:
    amz = sorted({name.lower() for name in headers if name.lower().startswith("x-amz-")})
    lines = [
        method,
        headers.get("Content-MD5", "").strip(),
        headers.get("Content-Type", "").strip(),
        expires,
        *(f"{name}:{','.join(value.strip() for value in headers.getall(name))}" for name in amz),
        _resource(target),
    ]
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.digest(keys.secret_access_key.encode(), text, "sha1"))


def _resource(target: str) -> str:
    raw = [part.partition("=")[0] for part in target.partition("?")[2].split("&") if part]
    pairs = zip(raw, parameters(target), strict=True)
    counted = sorted(
        (name, f"{name}={value}" if value else name) for _, (name, value) in pairs if name in _COUNTED
    )
    path = target.partition("?")[0]
    return path + ("?" + "&".join(text for _, text in counted) if counted else "")
