"""The zoo: small models of every input and output kind, and what is right for each of them.

A model of the zoo either runs, and then each item's prediction is what the model says of it alone, or it is
refused when its bundle is made. `zoo.models` has the functions that make them, by the same names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.items import Given, image, number, text


@dataclass(frozen=True)
class Entry:
    """A model, its items, and what is expected.

    `contract` is its model.json. `refused`: a word of the message with which it has to be refused; `may_refuse`: a
    word of the message, where it is either refused so or predicts as if each item came to a new model.
    `litert`: whether the bundle has to be made for LiteRT, or must not; None: either is right.
    `rows`: "one" row of each output is an item's; "whole": all rows are; "unbatched": there is no batch dimension;
    or a number: the model takes so many rows at once, whatever they hold.
    `keeps_state`: a new model is loaded for each item that it is compared on.
    """

    inputs: tuple[Given, ...] = ()
    contract: Mapping[str, Any] | None = None
    refused: str = ""
    may_refuse: str = ""
    litert: bool | None = None
    rows: Literal["one", "whole", "unbatched"] | int = "one"
    keeps_state: bool = False
    labels: tuple[str, ...] = ()

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """What model.json says of outputs."""
        outputs: Mapping[str, Mapping[str, Any]] = (self.contract or {}).get("outputs", {})
        return outputs


TEN = (-10.0, 10.0)
SCORES = {"outputs": {"scores": {"keep": "top_k", "k": 2, "labels": "labels.txt"}}}
X2 = (number("x", shape=(2,), between=TEN),)
X3 = (number("x", shape=(3,), between=TEN),)
N = (number("n", "int32", between=(-3, 9)),)
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))


def picture(name: str, height: int, width: int, channels: int, **more: Any) -> dict[str, Any]:
    """The model.json of an image input."""
    size = {"kind": "image", "height": height, "width": width, "channels": channels}
    return {"inputs": {name: size | more}}


ZOO: dict[str, Entry] = {
    # Numbers.
    "floats": Entry(
        (
            number("half", "float16", (3,)),
            number("brain", "bfloat16", (3,)),
            number("single", "float32", (3,)),
            number("double", "float64", (3,)),
        )
    ),
    "integers": Entry(tuple(number(name, name, (2,)) for name in INTEGERS)),
    "bools": Entry((number("x", "bool", (3,)),)),
    "ranks": Entry(
        (
            number("scalar", between=TEN),
            number("one", shape=(1,), between=TEN),
            number("matrix", shape=(2, 3), between=TEN),
        ),
        litert=True,
    ),
    "open_sum": Entry((number("x", shape=(None,), between=TEN),)),
    "open_max": Entry((number("x", shape=(None,)),)),
    "two_open": Entry((number("x", shape=(None, None), between=TEN),)),
    "open_pair": Entry((number("x", shape=(None,), between=TEN), number("y", shape=(3,), between=TEN))),
    "columns": Entry(
        (
            number("table", shape=(3,), between=TEN, columns=("height", "weight", "speed")),
            number("age", "int32", between=(0, 99), carried="years"),
        ),
        {
            "inputs": {
                "table": {"kind": "number", "columns": ["height", "weight", "speed"]},
                "age": {"kind": "number", "from": "years"},
            }
        },
        litert=True,
    ),
    "whole_number": Entry((number("k", "int64"),)),
    # Images.
    "grey": Entry(
        (image("pixels", 8, 8, 1, scale=(0, 1)),), picture("pixels", 8, 8, 1, scale=[0, 1]), litert=True
    ),
    "colour": Entry((image("photo", 6, 5, 3, "uint8"),), picture("photo", 6, 5, 3)),
    "clear": Entry(
        (image("photo", 4, 4, 4, scale=(-1, 1)),), picture("photo", 4, 4, 4, scale=[-1, 1]), litert=True
    ),
    "open_image": Entry((image("photo", 5, 7, 3),), picture("photo", 5, 7, 3, decode="scaled")),
    "small_photo": Entry((image("img", 4, 4, 3),), picture("img", 4, 4, 3)),
    # Text.
    "text_operations": Entry((text("text"),), litert=False),
    "table": Entry((text("text", (1,)),)),
    "vectorized": Entry((text("text", (1,)),), litert=False),
    "padded_words": Entry((text("text"),), may_refuse="neighbour"),
    "named": Entry(X3),
    # Outputs.
    "best": Entry(X3, SCORES, labels=("ant", "bee", "cow"), litert=True),
    "whole_scores": Entry(
        (number("x", "int32", between=(-5, 5)),), {"outputs": {"scores": {"keep": "argmax"}}}
    ),
    "single_score": Entry(X3, {"outputs": {"scores": {"keep": "argmax"}}}, refused="raw"),
    "late_single_score": Entry(X3, {"outputs": {"scores": {"keep": "top_k"}}}, may_refuse="raw"),
    "logarithms": Entry(X3, SCORES, labels=("ant", "bee", "cow")),
    "constant": Entry((number("x", shape=(1,)),), refused="names"),
    "constant_dropped": Entry((number("x", shape=(1,)),), {"outputs": {"names": {"drop": True}}}),
    "large_constant": Entry(X2, litert=True),
    "complex_out": Entry((number("x", shape=(4,)),), refused="complex64"),
    # Batches.
    "batch_of_one": Entry(X3, litert=True),
    "batch_of_four": Entry(X2, rows=4, litert=True),
    "unbatched": Entry((number("x", shape=(3,), between=TEN), number("s", between=TEN)), rows="unbatched"),
    "nms": Entry((number("boxes", shape=(4, 2), between=(0, 1)),), rows="whole"),
    "detections": Entry(
        (number("boxes", shape=(4, 4), between=(0, 1)), number("scores", shape=(4,), between=(0, 1))),
        rows="whole",
        litert=False,
    ),
    "combined_detections": Entry(
        (number("boxes", shape=(4, 4), between=(0, 1)), number("scores", shape=(4,), between=(0, 1))),
        litert=False,
    ),
    # State.
    "counter": Entry((number("x", between=TEN),), may_refuse="Assign", keeps_state=True),
    "running_mean": Entry(X2, may_refuse="Assign", keeps_state=True),
    "rare_state": Entry((number("x", between=(-50, 50)),), may_refuse="Assign", keeps_state=True),
    "mutable_table": Entry(
        (number("x", "int64", between=(0, 3)),), may_refuse="LookupTableInsert", keeps_state=True
    ),
    "lstm": Entry((number("x", shape=(4, 2), between=TEN),)),
    "stateful_lstm": Entry((number("x", shape=(3, 2), between=TEN),), may_refuse="ariable", keeps_state=True),
    "gru_open": Entry((number("x", shape=(None, 2), between=TEN),)),
    "noise": Entry(X2, refused="Random"),
    "dropout_active": Entry((number("x", shape=(8,), between=TEN),), refused="Random"),
    "lite_counter": Entry(X2, may_refuse="ASSIGN_VARIABLE", keeps_state=True),
    "lite_lstm": Entry((number("x", shape=(3, 2), between=TEN),), may_refuse="LSTM", keeps_state=True),
    # An item's neighbours.
    "softmax_of_batch": Entry(X2, may_refuse="neighbour"),
    "batch_statistics": Entry(X2, may_refuse="neighbour"),
    "reversed_batch": Entry(X2, may_refuse="neighbour"),
    "cumulative": Entry((number("x", "int32", between=TEN),), may_refuse="neighbour"),
    "batch_size_out": Entry((number("x", between=TEN),), may_refuse="neighbour"),
    "any_negative": Entry((number("x", between=(-50, 50)),), may_refuse="neighbour"),
    "length_mask": Entry((number("n", "int32", between=(0, 9)),), may_refuse="neighbour"),
    # Rows.
    "kept_rows": Entry(X2),
    "repeated_rows": Entry((number("n", "int32", between=(0, 2)), number("x", between=TEN))),
    # Bounds.
    "embedding": Entry((number("ids", "int32", (3,), between=(-1, 7)),)),
    "last_token": Entry((number("x", "int32", (None,)),), litert=False),
    "picked": Entry((number("x", shape=(4,)), *N)),
    "reverse_sequence": Entry((number("x", shape=(4,)), *N), litert=False),
    "segments": Entry((number("x", shape=(3,), between=TEN), number("k", "int32", (3,), between=(-2, 5)))),
    "scattered": Entry(N),
    "one_hot": Entry(N),
    "whole_numbers": Entry((number("x", shape=(3,)),)),
    "small_numbers": Entry((number("x", shape=(3,), between=(-500, 500)),)),
    "divided": Entry((number("x", "int32", between=(-9, 9)), number("y", "int32", between=(-2, 2)))),
    "best_of_open": Entry((number("x", shape=(None,), between=TEN),)),
    "reshaped_by_value": Entry(
        (number("x", shape=(4,)), number("n", "int32", between=(-2, 6))), may_refuse="neighbour"
    ),
    "asserts": Entry((number("x", between=TEN),), litert=False),
    "fourth": Entry((number("x", shape=(None,), between=TEN),), litert=False),
    "sliced": Entry((number("x", shape=(None,), between=TEN),)),
    "halved": Entry((number("x", shape=(None,), between=TEN),)),
    "in_pairs": Entry((number("x", shape=(None,), between=TEN),)),
    "folded": Entry((number("x", shape=(None,), between=TEN),)),
    "tokens": Entry((number("ids", "int32", (None,), between=(-1, 11)),)),
    "segment_of_batch": Entry((*X2, number("k", "int32", between=(-2, 6)))),
    # Control flow and layers.
    "collatz": Entry((number("n", "int32", between=(-3, 30)),)),
    "attention": Entry((number("x", shape=(5, 4), between=TEN),)),
    "text_cnn": Entry((number("ids", "int32", (None,), between=(-1, 11)),)),
    # Given for LiteRT.
    "lite_int8": Entry(
        (image("pixels", 6, 6, 1, scale=(0, 1)),), picture("pixels", 6, 6, 1, scale=[0, 1]), litert=True
    ),
    "lite_uint8": Entry((image("pixels", 6, 6, 1, "uint8"),), picture("pixels", 6, 6, 1), litert=True),
    "lite_dynamic_range": Entry((number("pixels", shape=(6, 6, 1), between=(0, 1)),), litert=True),
    "lite_table": Entry((text("text"),), litert=True),
    "lite_embedding": Entry((number("ids", "int32", (3,), between=(-1, 7)),), litert=True),
    "lite_unbatched": Entry(X3, rows="unbatched", litert=True),
    # What is refused.
    "reads_file": Entry((text("name"),), refused="ReadFile"),
    "python_code": Entry((number("x"),), refused="PyFunc"),
}
