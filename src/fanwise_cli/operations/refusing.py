"""What a model may not do, by its operations: refused when its bundle is made, before anything of it is loaded."""

from collections.abc import Sequence

from fanwise.errors import BundleError
from fanwise.model.calls import Calls
from fanwise_cli.operations import tables
from fanwise_cli.operations.faults import fault_of
from fanwise_cli.operations.lite import LiteOperator
from fanwise_cli.operations.saved_model import Operation, Reached

_RANDOM = (
    "it draws at random ({}), so the same item would get another answer each time; export it as it is for"
    " inference (training=False), or let it draw by a fixed seed (tf.random.stateless_uniform)"
)
_KEEPS = (
    "it keeps something from call to call ({}), so an item's answer would depend on those before it; export it"
    " without, or with what it keeps as an input and an output"
)
DEPENDS = (
    "an item's answer depends on the items beside it or before it{}, and no reset gives the answer of a freshly"
    " loaded model; export it as it is for inference (training=False)"
)


def check_loadable(operations: Reached) -> None:
    """Raises `BundleError` for a SavedModel that reaches outside, draws, or keeps what cannot be reset."""
    outside = operations.outside()
    if outside is not None:
        raise BundleError(
            f"its operation {outside} reads or writes files, talks to others or runs code outside of TensorFlow,"
            f" which a model may not; export it without"
        )
    for found, says in ((operations.random(), _RANDOM), (operations.keeping(), _KEEPS)):
        if found is not None:
            raise BundleError(says.format(found))


def check_lite(found: Sequence[LiteOperator]) -> None:
    """The same of a `.tflite`, which cannot reach outside."""
    for names, says in ((tables.LITE_RANDOM, _RANDOM), (tables.LITE_KEEPS, _KEEPS)):
        for operator in found:
            if operator.op in names:
                raise BundleError(says.format(operator))


def resets_of(written: Sequence[Operation]) -> list[Calls]:
    """How variables that operations of a SavedModel write are put back."""
    variables = sorted({name for operation in written for name in operation.variables})
    return [Calls(reset="variables", variables=tuple(variables))] if variables else []


def resets_of_lite(found: Sequence[LiteOperator]) -> tuple[str | None, list[Calls]]:
    """An operation of a `.tflite` that keeps state, and how that is put back.

    Variable tensors are reset by themselves; resource variables only by loading the model again.
    """
    for operator in found:
        if operator.op in tables.LITE_WRITES:
            return str(operator), [Calls(reset="model")]
    for operator in found:
        if operator.keeps_state:
            return str(operator), [Calls(reset="variables"), Calls(reset="model")]
    return None, []


def notes_of_faults(found: Sequence[LiteOperator]) -> list[str]:
    """What is said of a `.tflite`, which nothing else can run, where LiteRT checks less than TensorFlow."""
    for operator in found:
        what = fault_of(operator)
        if what is not None:
            return [
                f"Of its {operator}, LiteRT checks less than TensorFlow: {what}. Where items may be out of range,"
                f" give the SavedModel that it was made from."
            ]
    return []


def notes_of_calls(calls: Calls, state: str | None) -> list[str]:
    """What is said of how a model is called."""
    each = "item" if calls.item_at_a_time else "mini-batch"
    notes: list[str] = []
    if calls.reset is not None:
        what = "is loaded anew" if calls.reset == "model" else "has its variables reset"
        notes.append(f"It keeps state ({state}), so it {what} before each {each}.")
    if calls.item_at_a_time:
        notes.append(
            "Predicted an item at a time, which is slower: answers of items in one call depend on each other."
        )
    return notes
