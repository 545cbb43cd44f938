"""What synthetic inputs a signature and a contract make."""

import os
import subprocess
import sys

import numpy as np
import pytest

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


def test_synthetic_rows_differ_and_have_no_pattern() -> None:
    spec = {"x": TensorSpec("float32", (None, 300, 300))}
    made = synthetic_inputs(spec, Bound({"x": Contract().input_of("x", spec["x"])}, {}), 3)["x"]
    assert made.shape == (3, 300, 300)
    assert len(np.unique(made.reshape(3, -1), axis=0)) == 3
    assert made.mean() == pytest.approx(0.5, abs=0.01)
    assert made.std() == pytest.approx(12**-0.5, abs=0.01)
    assert abs(np.corrcoef(made[0].ravel()[:-1], made[0].ravel()[1:])[0, 1]) < 0.02


def test_warming_up_needs_no_numpy_random() -> None:
    """Its import would be a tenth of a cold start."""
    script = (
        "import sys, numpy as np\n"
        "from fanwise.model.contract import Contract\n"
        "from fanwise.model.model import Model\n"
        "from fake_runtime import FakeRuntime\n"
        "Model(Contract(), {}, FakeRuntime({'x': (None, 3)}, {'y': (None, 3)}, lambda x: x)).warm_up()\n"
        "print([name for name in ('numpy.random', 'fanwise.model.trial') if name in sys.modules])\n"
    )
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
