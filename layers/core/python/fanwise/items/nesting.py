"""How deep a JSON text is nested, without decoding it.

What is too deep is refused before its values are decoded: decoders recurse, and meet the interpreter's limit
at another depth in every process.
"""

import re

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")


def is_deeper_than(levels: int, text: bytes) -> bool:
    """Whether valid JSON has more than `levels` objects and arrays inside each other."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    brackets = _STRING.sub(b"", text).translate(_AS_SQUARE, _NOT_BRACKETS)
    for _ in range(levels):  # each pass takes the innermost ones away
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
