"""What synthetic inputs a signature and a contract make."""

import numpy as np

from fanwise.model.binding import Bound
from fanwise.model.contract import Contract, ImageInput
from fanwise.model.signature import TensorSpec
from fanwise.model.synthetic import synthetic_inputs


def test_synthetic_inputs_are_what_the_contract_says_and_the_same_each_time() -> None:
    inputs = {
        "scan": TensorSpec("float32", (None, 8, 8, 3)),
        "photo": TensorSpec("uint8", (None, None, None, 3)),
        "x": TensorSpec("float32", (None, 5)),
        "n": TensorSpec("int64", (None, None)),
        "text": TensorSpec("string", (None,)),
    }
    contract = Contract(
        inputs={
            "scan": ImageInput(height=8, width=8, channels=3, scale=(-1, 1)),
            "photo": ImageInput(height=4, width=6, channels=3),
        }
    )
    bound = Bound({name: contract.input_of(name, spec) for name, spec in inputs.items()}, {})
    made = synthetic_inputs(inputs, bound, 4)
    assert {name: (value.shape, value.dtype.name) for name, value in made.items()} == {
        "scan": ((4, 8, 8, 3), "float32"),
        "photo": ((4, 4, 6, 3), "uint8"),
        "x": ((4, 5), "float32"),
        "n": ((4, 1), "int64"),
        "text": ((4,), "object"),
    }
    assert made["scan"].min() < -0.95
    assert made["scan"].max() > 0.95
    assert (made["photo"].min(), made["photo"].max()) >= (0, 240)
    assert 0 <= made["x"].min() < made["x"].max() < 1
    for name, value in synthetic_inputs(inputs, bound, 4).items():
        np.testing.assert_array_equal(value, made[name])
