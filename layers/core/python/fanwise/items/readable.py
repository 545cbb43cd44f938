"""Which objects the items of a job may point at: the prefixes that the stack lets its functions read.

One list says it to all: the template's policies, the environment of PlanJob (`FANWISE_READABLE`), and, pinned into
the plan, every invocation of the job. It is held against a URI after parsing, and guards what the policies cannot:
PredictBatch may also read models and results, and an item may not.
"""

import re
from collections.abc import Iterable

from fanwise.errors import InputError, LocationError

Readable = tuple[str, ...]  # `s3://bucket/` or `s3://bucket/prefix/`

# Of the objects below a bucket or a prefix (s3-arn-format). Wildcards elsewhere would be IAM's to match.
_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([A-Za-z0-9][A-Za-z0-9._-]+/(?:[^*?]+/)?)\*")
_PREFIXES_SHOWN = 5


def prefixes_of(arns: Iterable[str]) -> Readable:
    """The prefixes that S3 ARNs name as IAM has them, `arn:aws:s3:::bucket/prefix/*`. Raises `InputError`."""
    prefixes = []
    for arn in arns:
        match = _ARN.fullmatch(arn)
        if match is None:
            raise InputError(
                f"{arn!r} is not the ARN of a bucket's objects; write arn:aws:s3:::bucket/* or"
                f" arn:aws:s3:::bucket/prefix/* (the stack's parameter FurtherItems)"
            )
        prefixes.append(f"s3://{match[1]}")
    return tuple(prefixes)


def why_not_readable(uri: str, readable: Readable) -> str | None:
    """Why a job may not read an object, with the remedy; None where it may."""
    if uri.startswith(readable):
        return None
    allowed = ", ".join(readable[:_PREFIXES_SHOWN]) or "nothing"
    more = f" and {len(readable) - _PREFIXES_SHOWN} more" if len(readable) > _PREFIXES_SHOWN else ""
    return (
        f"{uri} is outside of what this job may read ({allowed}{more}); copy it there, or allow its prefix:"
        f" FurtherItems of the stack, on a laptop --root DIR"
    )


def check_readable(uri: str, readable: Readable) -> None:
    """Raises `LocationError` for a URI outside of what may be read."""
    why = why_not_readable(uri, readable)
    if why is not None:
        raise LocationError(why)
