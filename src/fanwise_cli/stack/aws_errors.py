"""Whatever boto3 and botocore raise, in one line that says what, where, and what to do: the only place for it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fanwise.errors import StackError, StackUnreachable
from fanwise_cli.up_secret import LOOPBACK


@dataclass(frozen=True)
class Place:
    """What is talked to, in the words of messages: the Region, and the endpoint where it is not AWS's own."""

    region: str
    endpoint: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        return f"{self.region} ({self.endpoint})" if self.endpoint else self.region

    @property
    def is_on_this_machine(self) -> bool:
        """Whether it is an address of this machine."""
        return urlsplit(self.endpoint or "").hostname in LOOPBACK

    @property
    def credentials(self) -> str:
        """Whose credentials are used."""
        return f"the credentials of profile {self.profile!r}" if self.profile else "the credentials in use"


@dataclass(frozen=True)
class _Refusal:
    """What a service answered in place of doing what it was asked."""

    code: str
    message: str
    operation: str
    place: Place
    told: Mapping[str, Any]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, error: Any, place: Place) -> "_Refusal":
        told = error.response.get("Error", {})
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        message = _one_line(told.get("Message", ""))
        return cls(str(told.get("Code", "")), message, error.operation_name, place, told, headers)


_SIGN_IN = "sign in again (aws sso login, or new values for AWS_ACCESS_KEY_ID and its like)"
_OTHERS = "choose others with --profile or AWS_PROFILE"


def _clock(refusal: _Refusal) -> str:
    return f"AWS in {refusal.place} refuses requests of another time than its own; set this machine's clock right"


def _expired(refusal: _Refusal) -> str:
    return f"{refusal.place.credentials} have expired; {_SIGN_IN}"


def _unknown(refusal: _Refusal) -> str:
    of_up = "; a fanwise up has another secret at each start: copy the export line that it printed"
    return (
        f"AWS in {refusal.place} does not accept {refusal.place.credentials} ({refusal.code});"
        f" `aws sts get-caller-identity` shows whose they are; {_OTHERS}"
        f"{of_up if refusal.place.is_on_this_machine else ''}"
    )


_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)(?: on resource:? (\S+))?")


def _denied(refusal: _Refusal) -> str:
    found = _ACTION.search(refusal.message)
    action = found[1] if found else refusal.operation
    on = f" on {found[2]}" if found and found[2] else ""
    return f"{refusal.place.credentials} may not do {action}{on} in {refusal.place}; have it allowed, or {_OTHERS}"


def _elsewhere(refusal: _Refusal) -> str:
    bucket = refusal.told.get("BucketName") or refusal.told.get("Bucket")
    region = refusal.headers.get("x-amz-bucket-region") or refusal.told.get("Region")
    return in_other_region(f"the bucket {bucket}" if bucket else "the bucket", region, refusal.place)


def in_other_region(what: str, region: str | None, place: Place) -> str:
    """What to say of a bucket that is not in the stack's Region."""
    return (
        f"{what} is in {region or 'another Region'}, and the stack's Region is {place.region}; a job reads only"
        f" buckets of its own Region: copy what it needs into the stack's input bucket, or give --region"
    )


def _no_bucket(refusal: _Refusal) -> str:
    bucket = refusal.told.get("BucketName") or "of that name"
    return f"there is no bucket {bucket} in {refusal.place}; was it removed? Deploy the stack again"


def _wait(refusal: _Refusal) -> str:
    return f"AWS in {refusal.place} asks to wait ({refusal.operation}: {refusal.code}); try again in a minute"


def _any(refusal: _Refusal) -> str:
    message = f": {refusal.message}" if refusal.message else ""
    return f"AWS in {refusal.place} refused {refusal.operation}: {refusal.code}{message}"


# The services have different names for the same, S3 for HEAD only the status.
_CODES: Mapping[Callable[[_Refusal], str], str] = {
    _clock: "RequestTimeTooSkewed RequestExpired",
    _expired: "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    _unknown: (
        "InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId SignatureDoesNotMatch AuthFailure"
        " InvalidSignatureException InvalidSignature IncompleteSignature IncompleteSignatureException"
        " MissingAuthenticationToken MissingAuthenticationTokenException InvalidToken"
    ),
    _denied: (
        "AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedException NotAuthorized 403"
    ),
    _elsewhere: "PermanentRedirect 301 IllegalLocationConstraintException AuthorizationHeaderMalformed",
    _no_bucket: "NoSuchBucket",
    _wait: (
        "Throttling ThrottlingException ThrottledException TooManyRequestsException RequestLimitExceeded"
        " SlowDown RequestThrottled RequestThrottledException ServiceUnavailable ServiceUnavailableException"
        " InternalFailure InternalError InternalServerError 500 502 503 504"
    ),
}
_SAID_BY = {code: say for say, codes in _CODES.items() for code in codes.split()}
_CLOCK_WORDS = re.compile(r"signature (expired|not yet current)", re.IGNORECASE)  # under a code of _unknown


@contextmanager
def aws_errors_told(place: Place) -> Iterator[None]:
    """Raise `StackError` for what boto3 raises inside."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 - only where AWS is talked to
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    try:
        yield
    except ClientError as error:
        raise _refused(error, place) from error
    except BotoCoreError as error:
        raise _failed(error, place) from error
    except Boto3Error as error:  # an upload's: the refusal itself is its context
        if isinstance(error.__context__, ClientError):
            raise _refused(error.__context__, place) from error
        raise StackError(f"AWS in {place}: {_one_line(error)}") from error


def _refused(error: Any, place: Place) -> StackError:
    refusal = _Refusal.of(error, place)
    say = _clock if _CLOCK_WORDS.search(refusal.message) else _SAID_BY.get(refusal.code, _any)
    return StackUnreachable(say(refusal)) if say is _wait else StackError(say(refusal))


def _failed(error: Exception, place: Place) -> StackError:
    """What kept a request from being made or answered, by the first class that it is of."""
    from botocore import exceptions as raised  # noqa: PLC0415 - only where AWS is talked to

    said = _one_line(error)
    credentials = f"{place.credentials} cannot be had: {said}; {_SIGN_IN}"
    told: Mapping[type[Exception], str] = {
        raised.NoCredentialsError: (
            "there are no AWS credentials; run `aws configure` or `aws sso login`, name a profile with --profile,"
            " or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
        raised.PartialCredentialsError: f"{place.credentials} are incomplete ({said}); give key and secret",
        raised.ProfileNotFound: f"{said}; `aws configure list-profiles` shows those there are",
        raised.NoRegionError: (
            "which Region is the stack in? Give --region, or set AWS_REGION or the profile's region"
        ),
        raised.InvalidRegionError: f"{said}; write a Region like us-east-1 (--region)",
        raised.CredentialRetrievalError: credentials,
        raised.TokenRetrievalError: credentials,
        raised.SSOError: credentials,
        raised.InvalidConfigError: credentials,
        raised.SSLError: f"no safe connection to AWS in {place}: {said}; a proxy in between? (AWS_CA_BUNDLE)",
    }
    for kind, message in told.items():
        if isinstance(error, kind):
            return StackError(message)
    if not isinstance(error, raised.ConnectionError | raised.HTTPClientError):
        return StackError(f"AWS in {place}: {said}")
    if place.endpoint is None:
        return StackUnreachable(
            f"AWS in {place} does not answer ({said}); check the network and the Region's name"
        )
    return StackUnreachable(
        f"nothing answers at {place.endpoint}; start it (fanwise up), or leave --endpoint-url and AWS_ENDPOINT_URL"
        f" out for AWS itself"
    )


def _one_line(what: object) -> str:
    return " ".join(str(what).split()).rstrip(".")
