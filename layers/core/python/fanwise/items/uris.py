"""What an item, or a manifest, may point at: `s3://bucket/key`, or a name relative to the file it stands in.

A name is characters, never an encoding: `:`, `?`, `#` and `%` in it are themselves. A key has no empty, `.` or
`..` part, which neither obstore nor a folder of this machine can hold.
"""

import re

from fanwise.errors import BadUri, LocationError
from fanwise.storage import Location

# What most items give, known at one glance; the parts that begin with a dot are looked at one by one.
_PART = r"[^\x00-\x1f\x7f/.][^\x00-\x1f\x7f/]*+"
_ORDINARY = re.compile(rf"(?:s3://{_PART}/)?{_PART}(?:/{_PART})*+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN_CHARACTERS = 200
_ANY_NAME = "…"


def folder_of(uri: str) -> str:
    """The folder that an object lies in, with its last slash: what names inside the object are relative to."""
    return uri[: uri.rindex("/") + 1]


def absolute_uri(given: str, base: str) -> str:
    """The `s3://` URI that `given` stands for in a file of the folder `base` (`s3://bucket/prefix/`).

    `.` and `..` in a relative name are followed as far as the bucket's root. Raises `BadUri`.
    """
    if _ORDINARY.fullmatch(given):
        return given if given.startswith("s3://") else base + given
    shown = repr(given if len(given) <= _SHOWN_CHARACTERS else given[:_SHOWN_CHARACTERS] + "…")
    if not given:
        raise BadUri("the URI is empty; leave it out, or write s3://bucket/key or a relative name")
    if _CONTROL.search(given):
        raise BadUri(f"{shown} holds a control character; no object is named so")
    if given.startswith("s3://"):
        return _checked(given, given, shown)
    if _SCHEME.match(given):
        raise BadUri(
            f"{shown} is neither s3:// nor relative; only S3 is read: copy the file there and write s3://bucket/key"
        )
    if given.startswith("/"):
        raise BadUri(
            f"{shown} is an absolute path; write it relative to the items file, or as s3://bucket/key"
        )
    root = _bucket_root(base)
    parts = base[len(root) :].split("/")[:-1]
    for part in given.split("/"):
        if part == "..":
            if not parts:
                raise BadUri(f"{shown} leads out of the bucket of {base}; write s3://bucket/key")
            parts.pop()
        elif part != ".":
            parts.append(part)
    return _checked(root + "/".join(parts), given, shown)


def absolute_folder_uri(given: str, base: str) -> str:
    """Like `absolute_uri`, for what ends with a slash: a folder, or a bucket."""
    return absolute_uri(given + _ANY_NAME, base).removesuffix(_ANY_NAME)


def _bucket_root(uri: str) -> str:
    return f"s3://{Location.parse(uri).bucket}/"


def _checked(uri: str, given: str, shown: str) -> str:
    try:
        key = Location.parse(uri).key
    except LocationError as error:
        raise BadUri(str(error)) from error
    if not key or given.rpartition("/")[2] in ("", ".", ".."):
        raise BadUri(f"{shown} names no object but a folder; name one object")
    for part in key.split("/"):
        if part in ("", ".", ".."):
            raise BadUri(
                f"{shown}: its key has an empty, '.' or '..' part, which cannot be read; rename the object"
            )
    return uri
