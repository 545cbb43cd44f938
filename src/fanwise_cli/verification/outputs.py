"""The outputs of a prediction, by name, kind and shape, against the model's contract and signature.

`top_k` is a list of labels and scores, the best first, as many as asked for; `argmax` one of them; `raw` nested
arrays of the signature's sizes. Sizes that the signature leaves open may be any. A model without batch dimension
answers with an item's whole tensor, so that its own shape is fine, too.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from types import GenericAlias
from typing import Annotated, Any

import msgspec

from fanwise.model.contract import DEFAULT_TOP_K, Contract, OutputContract
from fanwise.model.signature import INTEGERS, Signature, TensorSpec

Wrong = Callable[[msgspec.Raw], str | None]


class _Score(msgspec.Struct, forbid_unknown_fields=True):
    label: str
    score: float


_scores_decoder = msgspec.json.Decoder(list[_Score])
_score_decoder = msgspec.json.Decoder(_Score)


class Outputs:
    """What the predictions of a model have to look like."""

    def __init__(self, contract: Contract, signature: Signature) -> None:
        self._wrong: dict[str, Wrong] = {}
        for name, spec in signature.outputs.items():
            output = contract.outputs.get(name, OutputContract())
            if not output.drop:
                self._wrong[output.as_ or name] = _check_of(output, spec)

    def wrong_with(self, prediction: Mapping[str, msgspec.Raw]) -> str | None:
        """What a prediction has that no prediction of this model has, in words."""
        if prediction.keys() != self._wrong.keys():
            names = sorted(prediction.keys() ^ self._wrong.keys())
            return f"has other outputs than the model: {', '.join(map(repr, names[:5]))}"
        for name, value in prediction.items():
            if wrong := self._wrong[name](value):
                return f"has an output {name!r} that {wrong}"
        return None


def _check_of(output: OutputContract, spec: TensorSpec) -> Wrong:
    if output.keep == "argmax":
        return _wrong_with_best
    if output.keep == "top_k":
        width = spec.shape[-1] if spec.shape else None
        wanted = output.k or DEFAULT_TOP_K
        return lambda value: _wrong_with_scores(value, wanted if width is None else min(wanted, width), width)
    decoders = [msgspec.json.Decoder(shape) for shape in _types(spec)]
    return lambda value: _wrong_with_values(value, decoders, spec)


def _wrong_with_best(value: msgspec.Raw) -> str | None:
    try:
        _score_decoder.decode(value)
    except msgspec.DecodeError as error:
        return f"is no label with its score: {error}"
    return None


def _wrong_with_scores(value: msgspec.Raw, wanted: int, width: int | None) -> str | None:
    try:
        scores = _scores_decoder.decode(value)
    except msgspec.DecodeError as error:
        return f"is no list of labels with their scores: {error}"
    if len(scores) != wanted and (width is not None or len(scores) > wanted):
        return f"has {len(scores)} scores in place of {wanted}"
    if any(one.score < other.score for one, other in pairwise(scores)):
        return "has a score before a better one"
    return None


def _wrong_with_values(value: msgspec.Raw, decoders: list[Any], spec: TensorSpec) -> str | None:
    for decoder in decoders:
        try:
            decoder.decode(value)
        except msgspec.DecodeError:
            continue
        return None
    return f"is not of its signature, {spec}"


def _types(spec: TensorSpec) -> Iterator[Any]:
    """The types that a row may have: the one without batch dimension first."""
    kind: Any = float
    if spec.dtype in INTEGERS:
        kind = int
    elif spec.dtype in ("bool", "string"):
        kind = {"bool": bool, "string": str}[spec.dtype]
    if spec.shape is None:
        yield Any
        return
    for shape in dict.fromkeys((spec.shape[1:], spec.shape)):
        yield _nested(kind, shape)


def _nested(kind: Any, shape: tuple[int | None, ...]) -> Any:
    """Lists in lists of these lengths, around values of a kind."""
    for size in reversed(shape):
        sized = msgspec.Meta() if size is None else msgspec.Meta(min_length=size, max_length=size)
        kind = Annotated[GenericAlias(list, kind), sized]
    return kind
