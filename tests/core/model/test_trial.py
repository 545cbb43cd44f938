"""The trial of a model with synthetic inputs: sizes that it computes, and whether an item gets a row."""

from typing import Any

import numpy as np
import pytest

from fake_runtime import Compute, FakeRuntime, Shape
from fanwise.errors import BundleError
from fanwise.model.contract import Contract, ImageInput, NumberInput, OutputContract
from fanwise.model.layout import Layout
from fanwise.model.model import Model
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.trial import Tried, try_out

OF_ONE = Layout(item_at_a_time=True)
NO_BATCH = Layout(batched=False, item_at_a_time=True, whole=("y",))


def tried(
    inputs: dict[str, Shape],
    output: Shape,
    compute: Compute,
    contract: Contract | None = None,
    **options: Any,
) -> Tried:
    """The trial, and after it the warm-up, which is on inputs that were seen to compute."""
    runtime = FakeRuntime(inputs, {"y": output}, compute)
    contract = contract or Contract()
    found = try_out(runtime, contract, {}, **options)
    Model(contract, {}, runtime, layout=found.layout).warm_up()
    return found


def in_fours(x: Any) -> Any:
    return x.reshape(-1, 4).sum(axis=1, keepdims=True)


def wants(*row: int) -> Compute:
    def compute(x: Any) -> Any:
        if x.shape[1:] != row:
            raise ValueError(f"wants {row}")
        return x.reshape(len(x), -1)[:, :1]

    return compute


@pytest.mark.parametrize(
    ("shape", "compute", "row"),
    [
        ((None, 2), lambda x: x, None),
        ((None, None), lambda x: x, (1,)),
        ((None, None), in_fours, (4,)),
        ((None, None), lambda x: x.reshape(-1, 80), (80,)),  # no size to try; grown from the rows of another
        ((None, None, None, 3), lambda x: x.reshape(-1, 48), (4, 4, 3)),
        ((None, None, None), wants(32, 32), (32, 32)),
        ((None, None, None), wants(3, 8), (3, 8)),
        ((None, 7, None), wants(7, 224), (7, 224)),
        (None, wants(2, 3), (2, 3)),
        ((None, None), lambda x: x[:, 2:3] + 0 * x[:, [-3]], (3,)),
    ],
)
def test_open_sizes_are_tried_until_the_model_computes(
    shape: Shape, compute: Compute, row: tuple[int, ...] | None
) -> None:
    def of_tensors(x: Any) -> Any:
        try:
            return compute(x)
        except IndexError as error:
            raise ValueError(error) from error

    shapes = {"x": row} if row else {}
    assert tried({"x": shape}, (None, None), of_tensors) == Tried(Layout(row_shapes=shapes))


def test_open_sizes_of_several_inputs_are_tried_by_themselves() -> None:
    def compute(a: Any, b: Any) -> Any:
        return in_fours(a) + b.reshape(-1, 16).sum(axis=1, keepdims=True)

    found = tried({"a": (None, None), "b": (None, None)}, (None, None), compute)
    assert found == Tried(Layout(row_shapes={"a": (4,), "b": (16,)}))


def test_images_and_columns_have_their_own_sizes() -> None:
    contract = Contract(
        inputs={"a": ImageInput(height=5, width=7), "b": NumberInput(columns=("u", "v", "w"))}
    )

    def compute(a: Any, b: Any) -> Any:
        return a.reshape(-1, 5 * 7 * 3)[:, :1] + b.reshape(-1, 3)

    assert tried({"a": (None, None, None, 3), "b": (None, None)}, (None, 3), compute, contract) == Tried(
        Layout()
    )


@pytest.mark.parametrize(
    ("output", "compute"),
    [
        ((None,), lambda x: np.arange(32)),  # as many as a mini-batch has
        ((None, 2), lambda x: np.repeat(x, 2, axis=0)),
        ((None, 2), lambda x: x[:0]),
        (None, lambda x: x.sum()),
        ((None, None), lambda x: x.T),
        ((2,), lambda x: x.sum(axis=0)),
    ],
)
def test_an_output_that_is_not_one_row_an_item_is_refused(output: Shape, compute: Compute) -> None:
    with pytest.raises(BundleError, match=r"output 'y' .*not one row an item.*\"drop\": true"):
        tried({"x": (None, 2)}, output, compute)


def test_time_is_not_taken_for_items() -> None:
    """Of as many steps as a mini-batch has items, too."""
    with pytest.raises(BundleError, match="not one row an item"):
        tried({"x": (None, None, 3)}, (None, None, 3), lambda x: x.transpose(1, 0, 2))


def test_an_output_of_a_fixed_size_is_refused_by_its_signature() -> None:
    with pytest.raises(BundleError, match=r"output 'y' is float32 \[32\], whatever the number of items"):
        tried({"x": (None, 1)}, (32,), lambda x: np.zeros(32))


def test_a_signature_that_is_not_true_is_not_gone_by() -> None:
    """LiteRT writes a size of 1 where it does not know."""
    assert tried({"x": (None, 2)}, (1, 2), lambda x: x) == Tried(Layout())


@pytest.mark.parametrize(
    ("shape", "output", "compute", "layout"),
    [
        ((8, 2), (None, 2), lambda x: x, Layout()),
        ((8, 2), (None,), lambda x: x.sum(axis=0), NO_BATCH),
        ((8, 2), None, lambda x: x.sum(), NO_BATCH),
        ((4,), (), lambda x: x.sum(), NO_BATCH),
        ((), (), lambda x: 2 * x, NO_BATCH),
        ((4,), (4,), lambda x: 2 * x, Layout()),
        ((4,), (4,), lambda x: x / x.sum(), NO_BATCH),
        ((4, 3), (4,), lambda x: x.sum(axis=1) - x.mean(), NO_BATCH),
        ((1, 3), (None, 3), lambda x: x, OF_ONE),
        ((1, 3), None, lambda x: x, OF_ONE),
        ((1, 3), (None, 3), lambda x: np.repeat(x, 2, axis=0), Layout(item_at_a_time=True, whole=("y",))),
        ((1, 3), None, lambda x: x.sum(), Layout(item_at_a_time=True, whole=("y",))),
        ((1, 3), (100, 4), lambda x: np.zeros((100, 4)), Layout(item_at_a_time=True, whole=("y",))),
    ],
)
def test_a_fixed_batch_is_decided_by_what_comes_out(
    shape: Shape, output: Shape, compute: Compute, layout: Layout
) -> None:
    assert tried({"x": shape}, output, compute) == Tried(layout)


def test_a_row_of_columns_is_a_row_whatever_its_neighbours_do() -> None:
    """That they do something is for others to find, and no other way to read the items."""
    contract = Contract(inputs={"x": NumberInput(columns=("a", "b"))})
    assert tried({"x": (4, 2)}, (4, 2), lambda x: x / x.sum(), contract) == Tried(Layout())


def test_a_model_that_answers_otherwise_to_the_same_is_not_taken_for_one_of_whole_items() -> None:
    calls: list[int] = []

    def counting(x: Any) -> Any:
        calls.append(1)
        return x + len(calls)

    assert tried({"x": (4, 2)}, (4, 2), counting) == Tried(Layout())


def test_scores_of_a_batch_of_one_may_leave_its_size_open() -> None:
    contract = Contract(outputs={"y": OutputContract(keep="argmax")})
    assert tried({"x": (1, 3)}, (None, 3), lambda x: x, contract) == Tried(OF_ONE)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((None, 2), OF_ONE),
        ((1, 2), Layout(item_at_a_time=True, whole=("y",))),
        ((8, 2), NO_BATCH),
    ],
)
def test_as_many_rows_as_the_values_say(shape: Shape, layout: Layout) -> None:
    """By chance one row, or as many as items: that proves nothing, and nothing is refused for it."""
    assert tried({"x": shape}, (None, 2), lambda x: x, changing=True) == Tried(layout)
    assert tried({"x": shape}, (None, 2), lambda x: x[x > 9].reshape(-1, 2), changing=True) == Tried(layout)


def test_a_fixed_size_is_refused_beside_rows_that_the_values_say() -> None:
    runtime = FakeRuntime({"x": (None, 2)}, {"y": (None, 2), "z": (1,)}, lambda x: {"y": x, "z": np.zeros(1)})
    with pytest.raises(BundleError, match=r"output 'z' is float32 \[1\]"):
        try_out(runtime, Contract(), {}, changing=True)
    dropped = Contract(outputs={"z": OutputContract(drop=True)})
    assert try_out(runtime, dropped, {}, changing=True) == Tried(OF_ONE)


def rejecting(x: Any) -> Any:
    raise ValueError("assertion failed")


def test_a_model_that_rejects_synthetic_values_is_not_refused() -> None:
    """Whose its rows are is not known, so that it is given one item."""
    assert tried({"x": (None, 2)}, (None, 2), rejecting) == Tried(OF_ONE, "assertion failed")
    assert tried({"x": (None, None)}, (None, 2), rejecting) == Tried(OF_ONE, "assertion failed")
    assert tried({"x": (4, 2)}, (4, 2), rejecting) == Tried(Layout(), "assertion failed")
    assert tried({"x": (None, None)}, (None, 1), lambda x: x.reshape(-1, 2003)).layout == OF_ONE
    with pytest.raises(BundleError, match=r"float32 \[32\]"):
        tried({"x": (None, 2)}, (32,), rejecting)


def test_a_model_that_cannot_compute_is_refused_in_its_own_words() -> None:
    class Broken(FakeRuntime):
        def predict(self, tensors: Tensors) -> Any:
            raise ComputeError("no kernel", of_values=False)

    with pytest.raises(BundleError, match="the model cannot compute: no kernel"):
        try_out(Broken({"x": (None, None)}, {"y": (None,)}, rejecting), Contract(), {})


def test_the_sizes_of_a_persons_own_items_are_tried_first() -> None:
    layouts: list[Layout] = []

    def given(layout: Layout) -> list[dict[str, tuple[int, ...]]]:
        layouts.append(layout)
        return [{"x": (2003,)}]

    found = tried({"x": (None, None)}, (None, None), lambda x: x.reshape(-1, 2003), given=given)
    assert found == Tried(Layout(row_shapes={"x": (2003,)}))
    assert layouts == [Layout()]


@pytest.mark.parametrize("keep", ["top_k", "argmax"])
@pytest.mark.parametrize("output", [(None, None), None])
def test_a_single_score_is_refused_where_only_the_trial_shows_it(keep: Any, output: Shape) -> None:
    contract = Contract(outputs={"y": OutputContract(keep=keep)})
    with pytest.raises(
        BundleError, match=r"outputs.y says \"keep\": .* one score an item.*\"keep\": \"raw\""
    ):
        tried({"x": (None, 2)}, output, lambda x: x[:, :1], contract)
    assert tried({"x": (None, 2)}, output, lambda x: x, contract) == Tried(Layout())


def test_labels_are_as_many_as_the_scores_that_the_trial_shows() -> None:
    contract = Contract(outputs={"y": OutputContract(keep="argmax", labels="l.txt")})
    runtime = FakeRuntime({"x": (None, 3)}, {"y": (None, None)}, lambda x: x)
    with pytest.raises(BundleError, match=r"'y' has 3 scores for an item, and l.txt has 2 labels"):
        try_out(runtime, contract, {"l.txt": ("a", "b")})
    assert try_out(runtime, contract, {"l.txt": ("a", "b", "c")}) == Tried(Layout())
