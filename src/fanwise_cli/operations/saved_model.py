"""A SavedModel's graph → the operations that its served signature reaches, and what they mean.

Walked back from the signature's outputs, through data and control edges, into every function that an operation
names (calls, branches, loops, `map` of datasets); of a function all operations count, since TensorFlow runs those
with side effects whether something needs them or not. What only saves, restores or initialises is not reached.
Reads the file alone, with TensorFlow's schema: no operation is loaded or run.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from fanwise.errors import BundleError
from fanwise_cli.bundle_sources import GRAPH_FILE
from fanwise_cli.operations import tables

_BRANCHES = frozenset(("If", "StatelessIf", "Case", "StatelessCase"))
_VARIABLES = frozenset(("VarHandleOp", "VariableV2", "Variable"))
_LOADING = ("__saved_model_init_op", "__saved_model_main_op")
_NAMED_SOURCES = {"DecodeProtoV2": "descriptor_source", "EncodeProto": "descriptor_source"}


@dataclass(frozen=True)
class Operation:
    """An operation that is reached: its type, and its name in the graph or in a function.

    `is_certain`: whatever the values are, and not in a branch that may not be taken. `variables` are those that it
    may write, where it writes one; all that there are, where it cannot be said which.
    """

    op: str
    name: str
    is_certain: bool
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.op} ({self.name})"


@dataclass(frozen=True)
class Reached:
    """What the served signature of a SavedModel reaches, and what loading it runs."""

    served: tuple[Operation, ...]
    at_load: tuple[Operation, ...]

    def outside(self) -> Operation | None:
        """One that touches files, processes, the network or Python; None where there is none."""
        for at_load, found in ((False, self.served), (True, self.at_load)):
            for one in found:
                if tables.reaches_outside(one.op, at_load=at_load):
                    return one
        return None

    def writing(self) -> list[Operation]:
        """Those that write a variable."""
        return [one for one in self.served if tables.writes_variable(one.op)]

    def keeping(self) -> Operation | None:
        """One that keeps something from call to call that cannot be put back."""
        return next((one for one in self.served if tables.keeps(one.op)), None)

    def random(self) -> Operation | None:
        """One that draws at random whatever is asked; those in branches are left to the trial."""
        return next((one for one in self.served if one.is_certain and tables.is_random(one.op)), None)

    def checks(self, *, sizes_are_open: bool) -> list[str]:
        """The types of those that only complain of values, or of shapes where the signature leaves sizes open."""
        named = tables.CHECKS | (tables.SHAPE_CHECKS if sizes_are_open else frozenset())
        return sorted({one.op for one in self.served} & named)


def reached(saved_model: Path, signature: str) -> Reached:
    """What is reached in the SavedModel of a folder. Raises `BundleError` where its graph cannot be read."""
    path = saved_model / GRAPH_FILE
    try:
        model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise BundleError(f"{path.name}: cannot be read ({type(error).__name__}); export it again") from error
    served: list[Operation] = []
    at_load: list[Operation] = []
    for meta_graph in model.meta_graphs:
        for asset in meta_graph.asset_file_def:
            if PurePosixPath(asset.filename).is_absolute() or ".." in PurePosixPath(asset.filename).parts:
                raise BundleError(f"its asset {asset.filename!r} lies outside of the model; export it again")
        walk = _Walk(meta_graph.graph_def)
        definition = meta_graph.signature_def[signature]
        served += walk.from_nodes(info.name for info in _tensors(definition.outputs.values()))
        restore = meta_graph.saver_def.restore_op_name
        started = [info.name for name in _LOADING for info in meta_graph.signature_def[name].outputs.values()]
        started += [restore] if restore else []
        for name in ("saved_model_main_op", "legacy_init_op", "main_op"):
            started += list(meta_graph.collection_def[name].node_list.value)
        at_load += walk.from_nodes(started)
    return Reached(tuple(served), tuple(at_load))


def _tensors(outputs: Iterable[Any]) -> Iterator[Any]:
    """The dense tensors of a signature's outputs, those of composite ones too."""
    for info in outputs:
        if info.WhichOneof("encoding") == "coo_sparse":
            sparse = info.coo_sparse
            names = (
                sparse.values_tensor_name,
                sparse.indices_tensor_name,
                sparse.dense_shape_tensor_name,
            )
            yield from (type(info)(name=name) for name in names)
        elif info.WhichOneof("encoding") == "composite_tensor":
            yield from _tensors(info.composite_tensor.components)
        else:
            yield info


class _Walk:
    """A graph to be walked."""

    def __init__(self, graph: Any) -> None:
        self._nodes: Mapping[str, Any] = {node.name: node for node in graph.node}
        self._functions: Mapping[str, Any] = {one.signature.name: one for one in graph.library.function}

    def from_nodes(self, outputs: Iterable[str]) -> list[Operation]:
        """All operations that tensors or operations of the graph need."""
        found: list[Operation] = []
        entered: set[tuple[str, bool]] = set()
        for node in self._behind(outputs):
            asks = tables.is_random(node.op) or any(_functions_of(node, self._functions))
            certain = not (asks and self._is_switched(node))
            found.append(self._operation(node, "", certain, self._handles(node)))
            self._called(node, certain, self._handles(node), found, entered)
        return found

    def _behind(self, outputs: Iterable[str]) -> list[Any]:
        waiting = [_node_of(name) for name in outputs]
        seen: dict[str, Any] = {}
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._nodes:
                continue
            seen[name] = self._nodes[name]
            waiting += [_node_of(one) for one in seen[name].input]
        return list(seen.values())

    def _is_switched(self, node: Any) -> bool:
        """Whether an old-style conditional decides if it is run."""
        return any(one.op in ("Switch", "RefSwitch") for one in self._behind([node.name]))

    def _handles(self, node: Any) -> list[tuple[str, ...]]:
        """The variables that each input of an operation of the graph may be."""
        return [self._variables_of(name) for name in node.input if not name.startswith("^")]

    def _variables_of(self, tensor: str) -> tuple[str, ...]:
        behind = self._behind([tensor]) if self._may_be_handle(tensor) else []
        return tuple(one.name for one in behind if one.op in _VARIABLES)

    def _may_be_handle(self, tensor: str) -> bool:
        node = self._nodes.get(_node_of(tensor))
        return node is not None and node.op in _VARIABLES | {
            "Identity",
            "Enter",
            "Switch",
            "Merge",
            "RefEnter",
        }

    def _called(
        self,
        node: Any,
        certain: bool,
        handles: list[tuple[str, ...]],
        found: list[Operation],
        entered: set[tuple[str, bool]],
    ) -> None:
        """Add the operations of the functions that an operation names, and of those that they name."""
        for name in _functions_of(node, self._functions):
            inside = certain and node.op not in _BRANCHES
            # The handles of a call are its arguments; a branch has one before, and a loop passes its own.
            passed = handles[1:] if node.op in _BRANCHES else handles
            key = (f"{name} {passed}", inside)
            if key in entered:
                continue
            entered.add(key)
            function = self._functions[name]
            arguments = dict(zip((one.name for one in function.signature.input_arg), passed, strict=False))
            for one in function.node_def:
                given = [
                    arguments.get(tensor.partition(":")[0], ())
                    for tensor in one.input
                    if not tensor.startswith("^")
                ]
                for own, variables in zip((t.partition(":")[0] for t in one.input), given, strict=False):
                    if one.op in ("Identity", "ReadVariableOp") and variables:
                        arguments.setdefault(one.name, arguments.get(own, ()))
                found.append(self._operation(one, name, inside, given))
                self._called(one, inside, given, found, entered)

    def _operation(
        self, node: Any, function: str, certain: bool, handles: list[tuple[str, ...]]
    ) -> Operation:
        op = node.op
        if op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:"):
            op = "WriteFile"  # by another name
        source = _NAMED_SOURCES.get(op)
        if (
            source
            and node.attr[source].s not in (b"", b"local://")
            and not node.attr[source].s.startswith(b"bytes:")
        ):
            op = "ReadFile"
        variables: tuple[str, ...] = ()
        if tables.writes_variable(op):
            variables = (handles[0] if handles else ()) or tuple(
                sorted(one.name for one in self._nodes.values() if one.op in _VARIABLES)
            )
        return Operation(op, f"{function}/{node.name}" if function else node.name, certain, variables)


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def _functions_of(node: Any, known: Mapping[str, Any]) -> Iterator[str]:
    """The functions that an operation names: by an attribute, or because it is one by its type."""
    if node.op in known:
        yield node.op
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        named = [value.func] if kind == "func" else value.list.func if kind == "list" else []
        yield from (one.name for one in named if one.name in known)
