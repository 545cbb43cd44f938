"""Text as a terminal may have it: what a user's file holds must not move the cursor, colour, hide or reorder.

Names of files and models, ids and messages come from files that others wrote. Control characters (C0, DEL, C1, so
all escape sequences), what reorders text (bidirectional marks) and other ends of lines stand there as escapes.
"""

import re
from collections.abc import Callable

# Tabs and line feeds are the layout's own.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def is_safe(text: str) -> bool:
    """Whether a terminal shows the text, and does nothing else."""
    return (text.isascii() and text.isprintable()) or not _UNSAFE.search(text)


def printable(text: str) -> str:
    r"""The text with what is unsafe as its escape: `\x1b`, `\u202e`."""
    return _escaped(text, _as_python)


def printable_json(text: str) -> str:
    r"""JSON with what is unsafe in its texts as JSON spells it, `\u001b`: the same values."""
    return _escaped(text, _as_json)


def _escaped(text: str, escape: Callable[["re.Match[str]"], str]) -> str:
    return text if is_safe(text) else _UNSAFE.sub(escape, text)


def _as_python(match: "re.Match[str]") -> str:
    return match[0].encode("unicode_escape").decode()


def _as_json(match: "re.Match[str]") -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
