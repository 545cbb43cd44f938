"""Which operations of a model make as many rows as values say, and the notes on a model's layout.

With one of them, the number of rows that come out of a mini-batch does not prove whose they are: one item may have
two and another none. Such a model is given one item a call.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanwise.model.trial import Tried  # imports numpy

# Of TensorFlow's registry, and of LiteRT's builtin operators: the first size of what comes out depends on values,
# or (of what comes out of ragged and sparse tensors) any size does, and so on the neighbours of an item.
_CHANGING = re.compile(
    r"Where|Unique\w*|NonMaxSuppression\w*|ListDiff|\w*SetOperation|StringSplit(V2)?|StringNGrams|UnicodeDecode\w*"
    r"|Ragged\w+|Segment(Sum|Mean|Max|Min|Prod)(V2)?|SparseSegment\w+|DynamicPartition|(Parallel)?DynamicStitch"
    r"|Tensor(List|Array)Concat(V2|V3)?|\w*Bincount|CTC\w+Decoder|DecodeProtoV2"
    r"|Sparse(?!MatMul$|SoftmaxCrossEntropy|Apply)\w+"
    r"|WHERE|UNIQUE|NON_MAX_SUPPRESSION_V[45]|SEGMENT_SUM|SPARSE_TO_DENSE"
)


def changing_rows(operations: Iterable[str]) -> str | None:
    """One of these operations that makes as many rows as values say; None where there is none."""
    return min((name for name in set(operations) if _CHANGING.fullmatch(name)), default=None)


def notes_of_rows(tried: "Tried", changing: str | None) -> list[str]:
    """Notes on how a model is given its items, where that is not the usual."""
    layout = tried.layout
    whole = " and ".join(repr(name) for name in layout.whole)
    notes: list[str] = []
    if not layout.batched:
        notes.append(
            f"Predicted an item at a time, having no batch dimension: its prediction is {whole}, whole."
        )
    elif layout.whole:
        notes.append(
            f"Predicted an item at a time, its batch size being 1: all rows of {whole} are the item's."
        )
    elif layout.item_at_a_time and changing is not None:
        notes.append(
            f"Predicted an item at a time: its operation {changing} may make more or fewer rows than an item each."
        )
    if tried.rejected is not None and not notes:
        how = "Predicted an item at a time" if layout.item_at_a_time else "Not tried before the first item"
        notes.append(f"{how}, since it rejects synthetic items: {tried.rejected}.")
    return notes
