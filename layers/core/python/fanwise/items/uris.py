"""What an item, or a manifest, may point at: `s3://bucket/key`, or a name relative to the file it stands in.

A name is characters, never an encoding: `:`, `?`, `#` and `%` in it are themselves. No name has an empty, `.` or
`..` part, which neither obstore nor a folder of this machine can hold: what is relative stays in its folder.

Names that only look harmless are refused too. Whoever handles one later may decode or normalise it, so what
`%`-decoding (once or twice) or NFKC would turn into a scheme, an absolute path, a `..` part or a control character
is taken for one. Everything else may be in a name: `%20`, `100%`, umlauts, fullwidth letters.
"""

import re
from unicodedata import is_normalized, normalize
from urllib.parse import unquote

from fanwise.errors import BadUri, LocationError
from fanwise.storage import Location

# What most items give, known at one glance: ASCII without `%`, so nothing that could be decoded or normalised.
# Parts that begin with a dot are looked at one by one.
_PART = r"[ -$&-\-0-~][ -$&-.0-~]*+"
_ORDINARY = re.compile(rf"(?:s3://{_PART}/)?{_PART}(?:/{_PART})*+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHOWN_CHARACTERS = 200
_ANY_NAME = "x"


def folder_of(uri: str) -> str:
    """The folder that an object lies in, with its last slash: what names inside the object are relative to."""
    return uri[: uri.rindex("/") + 1]


def absolute_uri(given: str, base: str) -> str:
    """The `s3://` URI that `given` stands for in a file of the folder `base` (`s3://bucket/prefix/`).

    A relative name lies below `base`. Raises `BadUri`.
    """
    if _ORDINARY.fullmatch(given):
        return given if given.startswith("s3://") else base + given
    shown = _shown(given)
    if not given:
        raise BadUri("the URI is empty; leave it out, or write s3://bucket/key or a relative name")
    is_absolute = given.startswith("s3://")
    name = _key(given) if is_absolute else given
    danger = _danger(name)
    if danger == _IS_CONTROL:
        raise BadUri(f"{shown} holds a control character; no object is named so")
    if danger == _IS_SCHEME and not is_absolute:
        raise BadUri(
            f"{shown} is neither s3:// nor relative; only S3 is read: copy the file there and write s3://bucket/key"
        )
    if danger == _IS_PATH and not is_absolute:
        raise BadUri(
            f"{shown} is an absolute path; write it relative to the items file, or as s3://bucket/key"
        )
    parts = name.split("/")
    if not name or parts[-1] in ("", ".", ".."):
        raise BadUri(f"{shown} names no object but a folder; name one object")
    if any(part in ("", ".", "..") for part in parts):
        raise BadUri(
            f"{shown} has an empty, '.' or '..' part, which is not followed; write the name without it, or"
            f" s3://bucket/key"
        )
    _refuse_look_alikes(name, shown)
    return given if is_absolute else base + given


def absolute_folder_uri(given: str, base: str) -> str:
    """Like `absolute_uri`, for what ends with a slash: a folder, or a bucket."""
    return absolute_uri(given + _ANY_NAME, base).removesuffix(_ANY_NAME)


def _key(uri: str) -> str:
    try:
        return Location.parse(uri).key
    except LocationError as error:
        raise BadUri(str(error)) from error


_IS_CONTROL, _IS_SCHEME, _IS_PATH, _IS_PARENT = (
    "a control character",
    "another scheme",
    "an absolute path",
    "a '..' part",
)


def _danger(name: str) -> str | None:
    """What makes a name lead elsewhere than to an object of its own folder."""
    if _CONTROL.search(name):
        return _IS_CONTROL
    if _SCHEME.match(name):
        return _IS_SCHEME
    if name.startswith("/"):
        return _IS_PATH
    return _IS_PARENT if ".." in name.split("/") else None


def _refuse_look_alikes(name: str, shown: str) -> None:
    if "%" not in name and is_normalized("NFKC", name):
        return
    forms = {name, normalize("NFKC", name)}
    for _ in range(2):
        decoded = {unquote(form) for form in forms}
        forms |= decoded | {normalize("NFKC", form) for form in decoded}
    for form in sorted(forms):
        danger = _danger(form)
        if danger is not None:
            raise BadUri(
                f"{shown} is {danger} to whoever decodes or normalises it ({_shown(form)}); rename the object"
            )


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "…")
