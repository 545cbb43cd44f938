"""What an item lacks of what the model reads, in words that name both sides.

Of names alone: no numpy, so that whoever reads items may say it too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from fanwise.errors import ItemsFileError, MissingInput
from fanwise.records import Kind

MAX_NAMED = 20  # of each side
MAX_NAME_CHARACTERS = 60

_SPELLING = re.compile(r"[\s_.-]+")


def lacking(given: Iterable[str], kinds: Mapping[str, Kind], *, has_uri: bool) -> tuple[str, ...]:
    """The names of `kinds` that an item, which gives values under `given`, has none for.

    A `uri` is the one image that is not named; of several it is nobody's.
    """
    known = set(given)
    lacks = [name for name in kinds if name not in known]
    images = [name for name in lacks if kinds[name] == "image"]
    if has_uri and len(images) == 1:
        lacks.remove(images[0])
    return tuple(lacks)


def explained(
    error: MissingInput,
    given: Mapping[str, object],
    beside: Mapping[str, object],
    kinds: Mapping[str, Kind],
    *,
    has_uri: bool,
) -> MissingInput:
    """The error with the names that the model reads and those that the item has, in "inputs" and beside it."""
    lacks = lacking(given, kinds, has_uri=has_uri)
    told = MissingInput(f"{error}; {_names_of_both(lacks, tuple(given), tuple(beside), tuple(kinds))}")
    told.lacks = lacks
    return told


@lru_cache(maxsize=64)  # rows that lack an input are alike
def _names_of_both(
    lacks: tuple[str, ...], given: tuple[str, ...], beside: tuple[str, ...], kinds: tuple[str, ...]
) -> str:
    has = f"the item has {named(given) if given else 'nothing there'}"
    has += f", and {named(beside)} beside it" if beside else ""
    hints = [f"{_shown(own)} is not {_shown(name)}" for own, name in _near(lacks, given)]
    hints += [
        f'{_shown(own)} stands beside "inputs", not in it' for own, _ in _near(lacks, beside, or_equal=True)
    ]
    # The hints first: a terminal cuts the end off.
    return "; ".join([*hints[:MAX_NAMED], f"the model takes {named(kinds)}, {has}"])


def refuse_misspelt_columns(columns: Sequence[str], uri: str, kinds: Mapping[str, Kind]) -> None:
    """Raises `ItemsFileError` where a column is an input of the model but for its case, spaces or punctuation.

    Every row would lack that input. Other inputs without a column may be meant so: the rows will say it.
    """
    lacks = lacking(columns, kinds, has_uri="uri" in columns)
    misspelt = [f"{_shown(own)} is not {_shown(name)}" for own, name in _near(lacks, columns)]
    if misspelt:
        raise ItemsFileError(
            f"{uri}, header: {', '.join(misspelt[:MAX_NAMED])}, so every row would lack an input; name the columns"
            f" as the model does: {named(kinds)}"
        )


def named(names: Iterable[str]) -> str:
    """The names in quotes, the first of many."""
    known = list(names)
    shown = [_shown(name) for name in known[:MAX_NAMED]]
    return ", ".join([*shown, f"and {len(known) - len(shown)} more"] if len(known) > len(shown) else shown)


def _near(lacks: Iterable[str], given: Iterable[str], *, or_equal: bool = False) -> Iterable[tuple[str, str]]:
    """Names that differ in case, spaces or punctuation alone: what was given, and what was meant."""
    meant = {_spelled(name): name for name in lacks}
    for own in given:
        name = meant.get(_spelled(own))
        if name is not None and (or_equal or own != name):
            yield own, name


def _spelled(name: str) -> str:
    return _SPELLING.sub("", name).casefold()


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…")
