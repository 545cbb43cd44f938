"""What LiteRT computes where TensorFlow refuses, or computes otherwise: a table of its operations.

No sample shows it for sure: an index is wrong only for some items. So an operation of this table counts wherever
what it goes by depends on an input's values, or on a size that the signature leaves open; constant slices, and
reshapes by the batch size, do not. Each row was tried in LiteRT 2.3.0 against TensorFlow 2.21, in range and out of
it, or is one of its kind; the kernel is a file of github.com/google-ai-edge/LiteRT, tflite/kernels/. Tried too,
and refused by both alike, so not in the table: GATHER, GATHER_ND, SCATTER_ND, EMBEDDING_LOOKUP, ARG_MAX, SPLIT,
UNPACK, REVERSE_V2, CUMSUM, SUM, integer DIV, FLOOR_DIV and FLOOR_MOD by zero.
"""

from dataclasses import dataclass
from typing import Literal

from fanwise_cli.operations.lite import LiteOperator, Reads

INDEX = "what it reads outside of a tensor comes back as an answer"
EMPTY = "it refuses the empty results that TensorFlow gives"
RANGE = "numbers out of range become others than in TensorFlow"


@dataclass(frozen=True)
class Fault:
    """What is wrong with an operation (`what`), where one of its `operands` depends on an input."""

    operands: tuple[int, ...]
    what: str
    kernel: str
    when: Literal["values", "sizes"] = "values"  # the least that counts: sizes too, or values alone


FAULTS: dict[str, Fault] = {
    "STRIDED_SLICE": Fault((1, 2, 3), INDEX, "strided_slice.cc: no check of an index (shrink_axis_mask)"),
    "SLICE": Fault((1, 2), EMPTY, "slice.cc"),
    "REVERSE_SEQUENCE": Fault((1,), INDEX, "reverse_sequence.cc: lengths unchecked in 2.3.0", "sizes"),
    "SEGMENT_SUM": Fault((1,), INDEX, "segment_sum.cc: ids that are left out"),
    "UNSORTED_SEGMENT_SUM": Fault((1,), INDEX, "unsorted_segment.cc"),
    "UNSORTED_SEGMENT_MAX": Fault((1,), INDEX, "unsorted_segment.cc"),
    "UNSORTED_SEGMENT_MIN": Fault((1,), INDEX, "unsorted_segment.cc"),
    "UNSORTED_SEGMENT_PROD": Fault((1,), INDEX, "unsorted_segment.cc"),
    "EMBEDDING_LOOKUP_SPARSE": Fault((0, 1, 2), INDEX, "embedding_lookup_sparse.cc"),
    "DYNAMIC_UPDATE_SLICE": Fault((2,), INDEX, "dynamic_update_slice.cc: clamps"),
    "SPARSE_TO_DENSE": Fault((0, 1), INDEX, "sparse_to_dense.cc: order and repetition unchecked"),
    "STABLEHLO_GATHER": Fault((1,), INDEX, "stablehlo_gather.cc: clamps"),
    "STABLEHLO_SCATTER": Fault((1,), INDEX, "stablehlo_scatter.cc"),
    "STABLEHLO_DYNAMIC_SLICE": Fault((1, 2, 3, 4), INDEX, "dynamic_slice: clamps"),
    "NON_MAX_SUPPRESSION_V4": Fault(
        (0, 1), "it always gives max_output_size boxes, so that some are invented", "non_max_suppression.cc"
    ),
    "NON_MAX_SUPPRESSION_V5": Fault(
        (0, 1), "it always gives max_output_size boxes, so that some are invented", "non_max_suppression.cc"
    ),
    "CAST": Fault((0,), RANGE, "cast.cc: saturates"),
    "POW": Fault((0, 1), RANGE, "pow.cc: integers overflow otherwise"),
    "TRANSPOSE": Fault((1,), "a permutation that names an axis twice is taken", "transpose.cc"),
    "TOPK_V2": Fault((1,), EMPTY, "topk_v2.cc"),
    "ONE_HOT": Fault((1,), EMPTY, "one_hot.cc"),
    "FILL": Fault((0,), EMPTY, "fill.cc"),
    "RANGE": Fault((0, 1, 2), EMPTY, "range.cc"),
    "TILE": Fault((1,), EMPTY, "tile.cc"),
    "RESHAPE": Fault((1,), EMPTY, "reshape.cc"),
    "BROADCAST_TO": Fault((1,), EMPTY, "broadcast_to.cc"),
    "SPLIT_V": Fault((1,), EMPTY, "split_v.cc"),
    "WHERE": Fault((0,), EMPTY, "where.cc"),
    "UNIQUE": Fault((0,), EMPTY, "unique.cc"),
}
_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D")
_WHOLE = ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")


def fault_of(operator: LiteOperator) -> str | None:
    """What LiteRT would do wrong in an operation as it stands in a model; None where nothing is known."""
    if operator.op == "STRIDED_SLICE" and operator.shrinks_open_axis():
        return INDEX
    if operator.op in _POOLS and operator.pads_nothing and operator.has_open_size(0, axes=(1, 2)):
        return "a window larger than its input is taken, or ends the process"
    if operator.op == "FULLY_CONNECTED" and operator.has_open_size(0, axes=(-1,)):
        return "rows of another length are taken apart, and make more of them"
    fault = FAULTS.get(operator.op)
    if fault is None or not _concerns(operator):
        return None
    least = Reads.SIZES if fault.when == "sizes" else Reads.VALUES
    return fault.what if any(operator.reads(operand) >= least for operand in fault.operands) else None


def _concerns(operator: LiteOperator) -> bool:
    """Whether the fault is one of the dtypes at hand."""
    if operator.op == "CAST":
        return operator.dtype(0).startswith("FLOAT") and operator.output_dtype in _WHOLE
    return operator.op != "POW" or operator.dtype(0) in _WHOLE
