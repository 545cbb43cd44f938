"""The contract held against the signature: what is wrong is said when a bundle is made and when it is loaded.

Every rule that needs only model.json, the label files and the signature stands here, so that the command can
check a bundle without TensorFlow.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from fanwise.errors import BundleError
from fanwise.limits import MAX_RESULT_VALUES
from fanwise.model.contract import (
    DEFAULT_TOP_K,
    Contract,
    ImageInput,
    InputContract,
    NumberInput,
    OutputContract,
    TextInput,
)
from fanwise.model.signature import (
    DTYPES,
    FLOATS,
    INTEGERS,
    Signature,
    TensorSpec,
    fits,
    row_elements,
    shape_text,
)

MAX_MINI_BATCH = 32
OPEN_MINI_BATCH = 16
MAX_AT_ONCE = 1024
MINI_BATCH_ELEMENTS = 8 * 224 * 224 * 3

TEXT_SHAPES: tuple[tuple[int | None, ...] | None, ...] = ((), (1,), (None,), None)


class BoundOutput(NamedTuple):
    """An output that is kept: the name it is written under, its contract, and its labels if it has any."""

    written_as: str
    contract: OutputContract
    labels: tuple[str, ...] | None


class Bound(NamedTuple):
    """A contract that fits its signature: every input, and every kept output, by the signature's names."""

    inputs: Mapping[str, InputContract]
    outputs: Mapping[str, BoundOutput]


def read_labels(text: bytes, where: str) -> tuple[str, ...]:
    """A label file, one label a line; blank lines at its end are not labels. Raises `BundleError`."""
    try:
        lines = [line.removesuffix("\r") for line in text.decode("utf-8-sig").rstrip("\r\n").split("\n")]
    except UnicodeDecodeError as error:
        raise BundleError(f"{where}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise BundleError(
                f"{where}: line {number} is blank; one label a line, in the order of the scores"
            )
    return tuple(lines)


def bind(contract: Contract, signature: Signature, labels: Mapping[str, tuple[str, ...]]) -> Bound:
    """Hold a contract against a signature; `labels` are the label files it names, read.

    Raises `BundleError` that names both sides: an input or output the signature does not have, an image contract
    against a tensor of another shape, more labels than scores, two outputs under one name.
    """
    _known("inputs", contract.inputs, signature.inputs)
    _known("outputs", contract.outputs, signature.outputs)
    inputs = {name: contract.input_of(name, spec) for name, spec in signature.inputs.items()}
    for name, declared in inputs.items():
        _check_input(name, declared, signature.inputs[name])
    contract.kinds(signature.inputs)
    outputs: dict[str, BoundOutput] = {}
    written: dict[str, str] = {}
    for name, spec in signature.outputs.items():
        output = contract.outputs.get(name, OutputContract())
        if output.drop:
            continue
        written_as = output.as_ or name
        if written_as in written:
            raise BundleError(
                f"model.json: outputs {written[written_as]!r} and {name!r} would both be written as"
                f' {written_as!r}; give one another name with "as"'
            )
        written[written_as] = name
        names = None if output.labels is None else labels[output.labels]
        _check_output(name, output, names, spec)
        outputs[name] = BoundOutput(written_as, output, names)
    if not signature.outputs:
        raise BundleError("the model has no outputs, so nothing would be predicted; export what it computes")
    if not outputs:
        raise BundleError("model.json: every output is dropped, so nothing would be predicted; keep one")
    too_large = why_too_large(outputs, {name: _least_row(signature.outputs[name]) for name in outputs})
    if too_large is not None:
        raise BundleError(too_large)
    return Bound(inputs, outputs)


def why_too_large(outputs: Mapping[str, BoundOutput], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Why a prediction of outputs with these shapes (of one item) holds too much; None where it does not."""
    held = sum(_values(outputs[name].contract, shape) for name, shape in shapes.items())
    if held <= MAX_RESULT_VALUES:
        return None
    return (
        f"a prediction would hold {held:,} values; at most {MAX_RESULT_VALUES:,}:"
        f' in model.json "keep" top_k or argmax of scores, "drop" an output, or export a model with smaller ones'
    )


def _least_row(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of a row, where sizes that are left open may be 1."""
    return tuple(1 if size is None else size for size in spec.row_shape or ())


def _values(contract: OutputContract, shape: tuple[int, ...]) -> int:
    """How many values of an output a prediction holds; of scores, a label and a number each."""
    if contract.keep == "raw":
        return prod(shape)
    return 2 * (1 if contract.keep == "argmax" else min(contract.k or DEFAULT_TOP_K, prod(shape)))


def mini_batch(signature: Signature, bound: Bound) -> int:
    """How many items the model sees at once: the signature's own batch size, or one by the size of an item.

    A rule and not a measurement, because predictions may differ in their last bits from one mini-batch size to
    another, and the same job has to give the same bytes. What it rests on: MobileNetV2 at 224x224x3, two processes
    of one thread on two cores, gives 104 items/s a thread at 8, and 79 to 85 at 16 and 32, whose activations
    leave the cache; small rows only need enough of them to hide the cost of a call, which is 0.1 ms. Raises
    `BundleError` where inputs have different batch sizes.
    """
    fixed = {spec.shape[0] for spec in signature.inputs.values() if spec.shape and spec.shape[0] is not None}
    if len(fixed) > 1:
        raise BundleError(
            f"the model's inputs have batch sizes {sorted(fixed)}; export it with one, or with none"
        )
    for size in fixed:
        if size < 1:
            raise BundleError(f"the model's inputs have batch size {size}; export it with none")
        return size
    elements = 0
    for name, spec in signature.inputs.items():
        declared = bound.inputs[name]
        if isinstance(declared, ImageInput):
            elements += declared.height * declared.width * declared.channels
        elif isinstance(declared, TextInput) or (counted := row_elements(spec)) is None:
            return OPEN_MINI_BATCH
        else:
            elements += counted
    size = MAX_MINI_BATCH
    while size > 1 and size * elements > MINI_BATCH_ELEMENTS:
        size //= 2
    return size


def most_at_once(signature: Signature, bound: Bound, mini_batch: int) -> int:
    """How many items may be made into rows, and their answers written, in one go; the model sees mini-batches.

    Of small rows the steps around a mini-batch take longer than the model. More than a mini-batch where inputs are
    numbers and the signature says how many, so that what is held at once is known, and small.
    """
    specs = [*signature.inputs.values(), *(signature.outputs[name] for name in bound.outputs)]
    elements = [row_elements(spec) for spec in specs]
    known = [count for count in elements if count is not None]
    if len(known) < len(elements) or not all(isinstance(one, NumberInput) for one in bound.inputs.values()):
        return mini_batch
    fitting = min(MAX_AT_ONCE, MINI_BATCH_ELEMENTS // max(1, *known))
    return max(1, fitting // mini_batch) * mini_batch


def row_shape(declared: InputContract, spec: TensorSpec) -> tuple[int, ...]:
    """The shape of a row where none is at hand: sizes left open are an image's own, else 1."""
    sizes = spec.row_shape or ()
    if isinstance(declared, ImageInput):
        return (declared.height, declared.width, declared.channels)[: len(sizes) or None]
    return tuple(1 if size is None else size for size in sizes)


def _known(what: str, declared: Mapping[str, object], signature: Mapping[str, TensorSpec]) -> None:
    for name in declared:
        if name not in signature:
            has = ", ".join(f"{known} ({spec})" for known, spec in signature.items())
            raise BundleError(
                f"model.json: {what}.{name}: the signature has no such {what[:-1]}; it has {has}"
            )


def _check_input(name: str, declared: InputContract, spec: TensorSpec) -> None:
    if spec.dtype not in DTYPES:
        raise BundleError(
            f"input {name!r} takes {spec}, and items cannot carry {spec.dtype}; export without it"
        )
    if spec.shape == ():
        raise BundleError(
            f"input {name!r} takes {spec}, which has no batch dimension; export the model with one"
        )

    def refuse(says: str, remedy: str) -> BundleError:
        return BundleError(f"model.json: inputs.{name} says {says}, and the signature takes {spec}; {remedy}")

    row = spec.row_shape
    if isinstance(declared, ImageInput):
        shape = (declared.height, declared.width, declared.channels)
        says = f"an image of height, width, channels {shape_text(shape)}"
        if not fits(shape, row) and not (declared.channels == 1 and fits(shape[:2], row)):
            raise refuse(says, "make them the same")
        if spec.dtype not in FLOATS and (spec.dtype != "uint8" or declared.scale is not None):
            remedy = "images become uint8 (without scale) or floats"
            if spec.dtype == "int8":
                remedy += "; convert the model with inference_input_type = tf.uint8"
            raise refuse(says, remedy)
    elif isinstance(declared, TextInput):
        if spec.dtype != "string" or row not in TEXT_SHAPES:
            raise refuse("text", "text is one string an item, [?] or [?, 1]")
    else:
        if spec.dtype == "string":
            says = "nothing" if declared == NumberInput() else "numbers"
            raise refuse(says, 'say "kind": "text"')
        if declared.columns is not None and not fits((len(declared.columns),), row):
            raise refuse(f"{len(declared.columns)} columns", "name as many as it takes")


def _check_output(
    name: str, output: OutputContract, labels: tuple[str, ...] | None, spec: TensorSpec
) -> None:
    if spec.dtype not in DTYPES:
        raise BundleError(f'output {name!r} gives {spec}, which JSON cannot hold; model.json can "drop" it')
    if spec.shape == ():
        raise BundleError(f'output {name!r} has no batch dimension, so no item\'s; model.json can "drop" it')
    if output.keep == "raw":
        return
    says = f'model.json: outputs.{name} says "keep": "{output.keep}", and the signature gives {spec}'
    if spec.dtype not in FLOATS | INTEGERS:
        raise BundleError(f"{says}; scores are numbers")
    if spec.shape is None:
        return
    if len(spec.shape) != 2:
        raise BundleError(f'{says}; scores are one vector an item, [?, n]: "keep": "raw" takes any shape')
    if labels is not None and spec.shape[1] not in (None, len(labels)):
        raise BundleError(
            f"{output.labels} has {len(labels)} labels, and output {name!r} gives {spec}; one a score"
        )
