"""What a request says of its signature (Signature Version 4): in the Authorization header, or in a link's query.

Read before anything is believed; `signatures` holds it against the secret.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import unquote_to_bytes

from multidict import CIMultiDict, CIMultiDictProxy

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_EXPIRES_S = 7 * 24 * 3600  # sigv4-query-string-auth

_TIME = "%Y%m%dT%H%M%SZ"
_SCOPE = re.compile(r"([^/\s]+)/(\d{8})/([^/\s]+)/([^/\s]+)/aws4_request")

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Why(Enum):
    """Why a request is refused: the code of S3, of a query protocol, of a JSON protocol; and the status."""

    MISSING = (
        "MissingAuthenticationToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        403,
    )
    MALFORMED = ("AuthorizationHeaderMalformed", "IncompleteSignature", "IncompleteSignatureException", 400)
    UNKNOWN_KEY = ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", 403)
    MISMATCH = ("SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException", 403)
    SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", 403)
    DENIED = ("AccessDenied", "AccessDenied", "AccessDeniedException", 403)
    OTHER_BODY = ("XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "InvalidSignatureException", 400)
    INCOMPLETE = ("IncompleteBody", "IncompleteBody", "SerializationException", 400)

    def code(self, protocol: str) -> str:
        """Of `xml` (S3), `query` or `json`."""
        return str(self.value[("xml", "query", "json").index(protocol)])

    @property
    def status(self) -> int:
        """Of HTTP."""
        return int(self.value[3])


class SignatureRefused(Exception):
    """The request is not signed as it has to be; its text says what is wrong, without the secret."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its signature. `expires_s` is a link's, after `time_s`; None in a header."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    time_s: float
    expires_s: int | None = None

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_claim(target: str, headers: Headers) -> Claim | None:
    """The claim of a request, or None where it has none. Raises `SignatureRefused` for one that is incomplete."""
    authorization = headers.getall("Authorization", [])
    query = parameters(target)
    in_query = {
        name for name, _ in query if name in ("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm")
    }
    if not authorization:
        return _of_query(query) if in_query else None
    if in_query or len(authorization) > 1:
        raise SignatureRefused(
            Why.MALFORMED, "give one signature, in the Authorization header or in the query"
        )
    return _of_header(authorization[0], headers)


def _of_header(authorization: str, headers: Headers) -> Claim:
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureRefused(Why.MALFORMED, f"the algorithm is {algorithm[:40]!r}; sign with {ALGORITHM}")
    given = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    absent = [name for name in ("Credential", "SignedHeaders", "Signature") if not given.get(name)]
    if absent:
        raise SignatureRefused(Why.MALFORMED, f"the Authorization header has no {', no '.join(absent)}")
    timestamp = _timestamp(headers)
    return _claim(given["Credential"], given["SignedHeaders"], given["Signature"], timestamp, None)


def _of_query(query: Sequence[tuple[str, str]]) -> Claim:
    names = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    given = {name: [value for key, value in query if key == f"X-Amz-{name}"] for name in names}
    wrong = [f"X-Amz-{name}" for name, values in given.items() if len(values) != 1]
    if wrong:
        raise SignatureRefused(Why.MALFORMED, f"a signed link has {', '.join(wrong)} once")
    algorithm, credential, timestamp, expires, signed, signature = (given[name][0] for name in names)
    if algorithm != ALGORITHM:
        raise SignatureRefused(Why.MALFORMED, f"the algorithm is {algorithm[:40]!r}; sign with {ALGORITHM}")
    if not (
        expires.isascii() and expires.isdecimal() and len(expires) < 9 and 1 <= int(expires) <= MAX_EXPIRES_S
    ):
        raise SignatureRefused(
            Why.MALFORMED, f"X-Amz-Expires is {expires[:20]!r}; seconds from 1 to {MAX_EXPIRES_S}"
        )
    return _claim(credential, signed, signature, timestamp, int(expires))


def _timestamp(headers: Headers) -> str:
    """When a request was signed: X-Amz-Date, else Date."""
    if text := headers.get("X-Amz-Date", ""):
        return text
    try:
        return parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC).strftime(_TIME)
    except ValueError as error:
        raise SignatureRefused(Why.MALFORMED, "a signed request has X-Amz-Date or Date") from error


def _claim(credential: str, signed: str, signature: str, timestamp: str, expires_s: int | None) -> Claim:
    scope = _SCOPE.fullmatch(credential)
    if scope is None:
        raise SignatureRefused(Why.MALFORMED, "Credential is to be KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
    try:
        time_s = datetime.strptime(timestamp, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise SignatureRefused(Why.MALFORMED, f"the date is {timestamp[:40]!r}; YYYYMMDDTHHMMSSZ") from error
    key_id, date, region, service = scope.groups()
    if not timestamp.startswith(date):
        raise SignatureRefused(Why.MALFORMED, f"Credential is of {date}, and the request of {timestamp}")
    names = tuple(signed.split(";"))
    if "host" not in names or list(names) != sorted({name.lower() for name in names}):
        raise SignatureRefused(
            Why.MALFORMED, "SignedHeaders are lower case, sorted, each once, host among them"
        )
    return Claim(key_id, date, region, service, names, signature, timestamp, time_s, expires_s)


def parameters(target: str) -> list[tuple[str, str]]:
    """Of a query: names and values, decoded; a `+` is a plus sign."""
    query = target.partition("?")[2]
    pairs = (part.partition("=")[::2] for part in query.split("&") if part)
    return [(_decoded(name), _decoded(value)) for name, value in pairs]


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
