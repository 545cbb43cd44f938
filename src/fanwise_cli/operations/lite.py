"""A `.tflite` → the operations that its served signature reaches, and what each of their operands depends on.

Read from the flatbuffer by LiteRT's own schema, without an interpreter: through subgraphs of branches and loops,
but not what initialises (CALL_ONCE). An operand is constant, or depends on sizes that the signature leaves open,
or on an input's values; the size of a batch is a constant, since a model always sees its mini-batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from fanwise.model.contract import DEFAULT_SIGNATURE

_OPS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_DTYPES = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
# Operations of a shape, whatever the values in the tensor are.
_OF_SHAPE = frozenset(("SHAPE", "RANK", "ZEROS_LIKE"))
# The size of the result goes by a value: which of the operands.
_SIZED_BY = {
    "WHERE": (0,),
    "UNIQUE": (0,),
    "RANGE": (0, 1, 2),
    "FILL": (0,),
    "TILE": (1,),
    "RESHAPE": (1,),
    "BROADCAST_TO": (1,),
    "ONE_HOT": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "TOPK_V2": (1,),
    "PAD": (1,),
    "NON_MAX_SUPPRESSION_V4": (0, 1),
    "NON_MAX_SUPPRESSION_V5": (0, 1),
}
_DRAWN = frozenset(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "READ_VARIABLE"))


class Reads(IntEnum):
    """What a tensor depends on; the greater includes the less."""

    CONSTANTS = 0
    SIZES = 1
    VALUES = 2


@dataclass(eq=False)
class LiteOperator:
    """An operation of a subgraph."""

    op: str
    custom: str  # the name of a custom operation
    inputs: Sequence[int]  # tensors of the subgraph; -1: left out
    outputs: Sequence[int]
    options: Any
    graph: "_Subgraph"

    def reads(self, operand: int) -> Reads:
        """What an operand depends on."""
        tensor = self._tensor(operand)
        return Reads.CONSTANTS if tensor is None else self.graph.reads.get(tensor, Reads.CONSTANTS)

    def dtype(self, operand: int) -> str:
        """An operand's dtype, as the schema names it."""
        tensor = self._tensor(operand)
        return "" if tensor is None else self.graph.dtypes[tensor]

    @property
    def output_dtype(self) -> str:
        """The dtype of its first result."""
        return self.graph.dtypes[self.outputs[0]]

    def has_open_size(self, operand: int, axes: Iterable[int]) -> bool:
        """Whether one of an operand's sizes on these axes is not known."""
        tensor = self._tensor(operand)
        if tensor is None or not self.graph.sizes_are_open:
            return False
        shape = self.graph.shapes[tensor]
        return any(-len(shape) <= axis < len(shape) and shape[axis] < 0 for axis in axes)

    def shrinks_open_axis(self) -> bool:
        """Whether a STRIDED_SLICE takes one index of an axis whose size is open, or an index of open sizes."""
        mask = self.options.ShrinkAxisMask()
        if mask and self.reads(1) >= Reads.SIZES:
            return True
        if mask and (self.options.EllipsisMask() or self.options.NewAxisMask()):  # axes are counted otherwise
            return self.has_open_size(0, range(len(self.graph.shapes[self.inputs[0]])))
        return self.has_open_size(0, [axis for axis in range(32) if mask >> axis & 1])

    @property
    def pads_nothing(self) -> bool:
        """Whether a window has to lie inside of its input."""
        return bool(self.options.Padding() == schema.Padding.VALID)

    @property
    def keeps_state(self) -> bool:
        """Whether it has a variable tensor: what it leaves there is there at the next call."""
        return any(tensor in self.graph.variables for tensor in self.inputs)

    def __str__(self) -> str:
        return self.custom or self.op

    def _tensor(self, operand: int) -> int | None:
        if operand >= len(self.inputs) or self.inputs[operand] < 0:
            return None
        return self.inputs[operand]


@dataclass(eq=False)
class _Subgraph:
    inputs: Sequence[int]
    outputs: Sequence[int]
    shapes: Sequence[Sequence[int]]
    dtypes: Sequence[str]
    variables: frozenset[int]
    operators: list[LiteOperator] = field(default_factory=list)
    reads: dict[int, Reads] = field(default_factory=dict)
    sizes_are_open: bool = False

    def learn(self, tensor: int, reads: Reads) -> bool:
        """Note what a tensor depends on; whether that is more than was known."""
        if reads <= self.reads.get(tensor, Reads.CONSTANTS):
            return False
        self.reads[tensor] = reads
        return True


def operators(model: bytes, signature: str) -> list[LiteOperator]:
    """The operations that a signature reaches, with what their operands depend on."""
    root = schema.Model.GetRootAs(model, 0)
    graphs = [_subgraph(root, root.Subgraphs(number)) for number in range(root.SubgraphsLength())]
    served = _served(root, signature)
    reached = _reached(graphs, served)
    entry = graphs[served]
    sizes_are_open = any(-1 in entry.shapes[tensor][1:] for tensor in entry.inputs)
    while True:
        for number in reached:
            graphs[number].sizes_are_open = sizes_are_open
        for tensor in entry.inputs:
            entry.learn(tensor, Reads.VALUES)
        is_new = True
        while is_new:
            is_new = False
            for number in reached:
                is_new |= _spread(graphs[number], graphs)
        found = [operator for number in reached for operator in graphs[number].operators]
        if sizes_are_open or not any(_is_sized_by_value(operator) for operator in found):
            return found
        sizes_are_open = True  # sizes that are not the signature's, but go by values


def _is_sized_by_value(operator: LiteOperator) -> bool:
    by = _SIZED_BY.get(operator.op, ())
    return any(operator.reads(operand) == Reads.VALUES for operand in by)


def _served(root: Any, signature: str) -> int:
    for number in range(root.SignatureDefsLength()):
        definition = root.SignatureDefs(number)
        if definition.SignatureKey().decode() == signature:
            return int(definition.SubgraphIndex())
    if root.SignatureDefsLength() and signature != DEFAULT_SIGNATURE:
        raise ValueError(f"no signature {signature!r}")
    return 0


def _subgraph(root: Any, graph: Any) -> _Subgraph:
    tensors = [graph.Tensors(number) for number in range(graph.TensorsLength())]
    read = _Subgraph(
        inputs=_numbers(graph.InputsAsNumpy()),
        outputs=_numbers(graph.OutputsAsNumpy()),
        shapes=[_numbers(one.ShapeSignatureAsNumpy()) or _numbers(one.ShapeAsNumpy()) for one in tensors],
        dtypes=[_DTYPES[one.Type()] for one in tensors],
        variables=frozenset(number for number, one in enumerate(tensors) if one.IsVariable()),
    )
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = root.OperatorCodes(operator.OpcodeIndex())
        name = _OPS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        custom = code.CustomCode()
        made = LiteOperator(
            name,
            custom.decode() if custom else "",
            _numbers(operator.InputsAsNumpy()),
            _numbers(operator.OutputsAsNumpy()),
            _options(operator),
            read,
        )
        read.operators.append(made)
    return read


def _numbers(array: Any) -> list[int]:
    return [] if isinstance(array, int) else [int(one) for one in array]  # 0 stands for none


_KINDS: Mapping[int, str] = {
    code: name for name, code in vars(schema.BuiltinOptions).items() if isinstance(code, int)
}
_KINDS_2: Mapping[int, str] = {
    code: name for name, code in vars(schema.BuiltinOptions2).items() if isinstance(code, int)
}


def _options(operator: Any) -> Any:
    """What is set for an operation, read as its kind of options; None where nothing is."""
    for table, kind in (
        (operator.BuiltinOptions(), _KINDS[operator.BuiltinOptionsType()]),
        (operator.BuiltinOptions2(), _KINDS_2[operator.BuiltinOptions2Type()]),
    ):
        if table is not None and kind != "NONE":
            options = getattr(schema, kind)()
            options.Init(table.Bytes, table.Pos)
            return options
    return None


def _inner(operator: LiteOperator) -> list[int]:
    """The subgraphs that an operation runs."""
    options = operator.options
    if operator.op == "IF":
        return [options.ThenSubgraphIndex(), options.ElseSubgraphIndex()]
    if operator.op == "WHILE":
        return [options.CondSubgraphIndex(), options.BodySubgraphIndex()]
    if operator.op == "STABLEHLO_WHILE":
        return [options.CondSubgraphIndex(), options.BodySubgraphIndex()]
    if operator.op == "STABLEHLO_COMPOSITE":
        return [options.DecompositionSubgraphIndex()]
    return []


def _reached(graphs: Sequence[_Subgraph], served: int) -> list[int]:
    found = [served]
    for number in found:  # grows meanwhile
        for operator in graphs[number].operators:
            found += [inner for inner in dict.fromkeys(_inner(operator)) if inner not in found]
    return found


def _spread(graph: _Subgraph, graphs: Sequence[_Subgraph]) -> bool:
    """Have each result depend on what its operands do; whether anything new came of it."""
    is_new = False
    for operator in graph.operators:
        inner = [graphs[number] for number in _inner(operator)]
        operands = [graph.reads.get(one, Reads.CONSTANTS) for one in operator.inputs]
        if not inner:
            reads = _result(operator, operands)
            for tensor in operator.outputs:
                is_new |= graph.learn(tensor, reads)
            continue
        # What decides a branch, or how often a loop runs, decides what comes out of it.
        decides = operands[0] if operator.op == "IF" else Reads.CONSTANTS
        if operator.op.endswith("WHILE"):
            decides = inner[0].reads.get(inner[0].outputs[0], Reads.CONSTANTS)
            given = [
                max(one, inner[1].reads.get(result, Reads.CONSTANTS), decides)
                for one, result in zip(operands, inner[1].outputs, strict=False)
            ]
        else:
            given = operands[1:] if operator.op == "IF" else operands
        for one in inner:
            for tensor, reads in zip(one.inputs, given, strict=False):
                is_new |= one.learn(tensor, reads)
            for result, tensor in zip(one.outputs, operator.outputs, strict=False):
                is_loop_test = operator.op.endswith("WHILE") and one is inner[0]
                if not is_loop_test:
                    reads = max(one.reads.get(result, Reads.CONSTANTS), decides)
                    is_new |= graph.learn(tensor, reads)
        if operator.op.endswith("WHILE"):
            for tensor, reads in zip(operator.outputs, given, strict=False):
                is_new |= graph.learn(tensor, reads)
    return is_new


def _result(operator: LiteOperator, operands: Sequence[Reads]) -> Reads:
    if operator.op in _DRAWN:
        return Reads.VALUES
    if operator.op in _OF_SHAPE:
        shape = operator.graph.shapes[operator.inputs[0]]
        is_open = operator.op == "SHAPE" and operator.graph.sizes_are_open and -1 in shape
        return Reads.SIZES if is_open else Reads.CONSTANTS
    if operator.op == "FILL":
        return operands[1]
    return max(operands, default=Reads.CONSTANTS)
