"""A key that a line names twice: a decoder keeps the last alone, so the line is refused.

Each key has a colon. Where a text has no more colons than its keys and their values, no key was left out; only
else, as where a key itself holds a colon, it is read again.
"""

from collections.abc import Iterable

import msgspec

from fanwise.errors import BadInputs, NotJson
from fanwise.json_text import repeated_key

_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def may_repeat(text: bytes, keys: int) -> bool:
    """Whether a line of so many keys, those of `inputs` among them, may name one twice; false at a glance."""
    return text.count(b":") != keys


def refuse_repeated_keys(text: bytes, keys: int, values: Iterable[msgspec.Raw | None]) -> None:
    """Raises `NotJson` where a line of so many different keys, with these values, names one twice."""
    if text.count(b":") > keys + _colons(values):
        twice = repeated_key(text)
        if twice is not None:
            raise NotJson(f"the line is not JSON that all read alike: {twice} stands there twice; keep one")


def refuse_repeated_inputs(inputs: msgspec.Raw) -> None:
    """Raises `BadInputs` where `inputs` names a key twice."""
    text = bytes(inputs)
    values = _object_decoder.decode(text)
    if text.count(b":") > len(values) + _colons(values.values()):
        twice = repeated_key(text)
        if twice is not None:
            raise BadInputs(f'{twice} stands in "inputs" twice; keep one')


def _colons(values: Iterable[msgspec.Raw | None]) -> int:
    return sum(bytes(raw).count(b":") for raw in values if raw is not None)
