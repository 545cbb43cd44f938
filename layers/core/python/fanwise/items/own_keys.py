"""The keys that a dead letter adds to its item, and the keys of the item that have the same names.

A dead letter has `index` and `failure` beside what its item had. Keys of the item by these names, and by `item`,
stand in it under `item`, and are the item's own again when the dead letter is used as an item. So `failure` is
ours only where it looks like ours, and `index` only beside such a `failure`, or in the items of a replay, which
PlanJob wrote; anywhere else they are keys like any other.
"""

from collections.abc import Mapping

import msgspec

from fanwise.items.uris import folder_of
from fanwise.records import ItemsSource

_CLASHING = ("index", "failure", "item")
_NESTED = "item"


class _OurFailure(msgspec.Struct):
    """What `failure` has where it is ours (`records.Failure`)."""

    error: str
    stage: str
    attempts: int


_failure_decoder = msgspec.json.Decoder(_OurFailure)
_nested_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def beside_ours(carried: Mapping[str, msgspec.Raw]) -> dict[str, object]:
    """The carried keys of an item as its dead letter has them: those that clash with ours under `item`."""
    clashing = {name: carried[name] for name in _CLASHING if name in carried}
    if not clashing:
        return dict(carried)
    return {name: raw for name, raw in carried.items() if name not in clashing} | {_NESTED: clashing}


def without_ours(values: dict[str, msgspec.Raw], source: ItemsSource) -> bool:
    """Make the values of a dead letter those of its item again, in place; whether it is a dead letter."""
    if not (_is_replay(source) or _is_ours(values.get("failure"))):
        return False
    values.pop("index", None)
    values.pop("failure", None)
    restore(values)
    return True


def restore(values: dict[str, msgspec.Raw]) -> None:
    """Put what a dead letter has under `item` back where the item had it, in place."""
    try:
        nested = _nested_decoder.decode(values[_NESTED])
    except (KeyError, msgspec.DecodeError):
        return
    if nested.keys() <= {*_CLASHING}:
        del values[_NESTED]
        values |= nested


def _is_ours(failure: msgspec.Raw | None) -> bool:
    if failure is None:
        return False
    try:
        _failure_decoder.decode(failure)
    except msgspec.DecodeError:
        return False
    return True


def _is_replay(source: ItemsSource) -> bool:
    """Whether the items were written into a job's home: URIs in them are relative to where they came from."""
    return source.base != folder_of(source.uri)
