"""Which operations of a model make as many rows as values say, and what a person is told of a model's layout.

With one of them, the number of rows that come out of a mini-batch does not prove whose they are: one item may have
two and another none. Such a model is given one item a call.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanwise_cli.bundle_sources import GRAPH_FILE

if TYPE_CHECKING:
    from fanwise.model.trial import Tried  # imports numpy

# Of TensorFlow's registry, and of LiteRT's builtin operators: the first size of what comes out depends on values,
# or (of what comes out of ragged and sparse tensors) any size does, and so on the neighbours of an item.
_CHANGING = re.compile(
    r"Where|Unique\w*|NonMaxSuppression\w*|ListDiff|\w*SetOperation|StringSplit(V2)?|StringNGrams|UnicodeDecode\w*"
    r"|UnicodeTranscode|Ragged\w+|Segment(Sum|Mean|Max|Min|Prod)(V2)?|SparseSegment\w+|DynamicPartition"
    r"|(Parallel)?DynamicStitch|\w*Bincount|ParseExample\w*|ParseSingleExample\w*|DecodeProtoV2"
    r"|Sparse(?!MatMul$|SoftmaxCrossEntropy|Apply)\w+"
    r"|WHERE|UNIQUE|NON_MAX_SUPPRESSION_V[45]|SEGMENT_SUM|SPARSE_TO_DENSE"
)


def changing_rows(operations: Iterable[str]) -> str | None:
    """One of these operations that makes as many rows as values say; None where there is none."""
    return min((name for name in set(operations) if _CHANGING.fullmatch(name)), default=None)


def operations_of(saved_model: Path, signature: str) -> set[str]:
    """The types of the operations that a signature of a SavedModel reaches."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: PLC0415 - TensorFlow's

    model = saved_model_pb2.SavedModel.FromString((saved_model / GRAPH_FILE).read_bytes())
    found: set[str] = set()
    for meta_graph in model.meta_graphs:
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        waiting = [info.name for info in meta_graph.signature_def[signature].outputs.values()]
        seen: set[str] = set()
        reached: list[Any] = []
        while waiting:
            name = waiting.pop().lstrip("^").partition(":")[0]
            if name in nodes and name not in seen:
                seen.add(name)
                reached.append(nodes[name])
                waiting += nodes[name].input
        functions = {one.signature.name: one for one in meta_graph.graph_def.library.function}
        found |= _with_functions(reached, functions)
    return found


def operations_of_lite(path: Path) -> set[str]:
    """The names of the operations of a `.tflite`."""
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 - LiteRT's

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    return {names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "") for code in codes}


def _with_functions(nodes: Iterable[Any], functions: dict[str, Any]) -> set[str]:
    """The types of these operations, and of those in the functions that they name."""
    found: set[str] = set()
    waiting, entered = list(nodes), set[str]()
    while waiting:
        node = waiting.pop()
        found.add(node.op)
        for name in _functions_named(node):
            if name in functions and name not in entered:
                entered.add(name)
                waiting += functions[name].node_def
    return found


def _functions_named(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (one.name for one in value.list.func)


def notes_of_rows(tried: "Tried", changing: str | None) -> list[str]:
    """What a person is told of how a model is given its items, where that is not the usual."""
    layout = tried.layout
    whole = " and ".join(repr(name) for name in layout.whole)
    notes: list[str] = []
    if not layout.batched:
        notes.append(
            f"Predicted an item at a time, having no batch dimension: {whole} is, whole, the item's prediction."
        )
    elif layout.whole:
        notes.append(
            f"Predicted an item at a time, its batch size being 1: all rows of {whole} are the item's."
        )
    elif layout.item_at_a_time and changing is not None:
        notes.append(
            f"Predicted an item at a time: its operation {changing} may make more or fewer rows than an item each."
        )
    if tried.rejected is not None:
        notes.append(f"Not tried before the first item, since it rejects synthetic items: {tried.rejected}.")
    return notes
