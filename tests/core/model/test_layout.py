"""How items and tensors go together, by the signature."""

import pytest

from fanwise.errors import BundleError
from fanwise.model.layout import Layout, layout_of, with_changing_rows
from fanwise.model.signature import Signature, TensorSpec

Shape = tuple[int | None, ...] | None
ROWS = Layout()


def signature(inputs: list[Shape], outputs: list[Shape]) -> Signature:
    return Signature(
        {f"x{n}": TensorSpec("float32", shape) for n, shape in enumerate(inputs)},
        {f"y{n}": TensorSpec("float32", shape) for n, shape in enumerate(outputs)},
    )


def of_one(*whole: str) -> Layout:
    return Layout(item_at_a_time=True, whole=whole)


def without_batch(outputs: int = 1) -> Layout:
    return Layout(batched=False, item_at_a_time=True, whole=tuple(f"y{n}" for n in range(outputs)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "layout"),
    [
        ([(None, 4)], [(None, 2)], ROWS),
        ([(None, 4), None], [None], ROWS),
        ([(8, 4)], [(8, 2)], ROWS),
        ([(8, 4), (None, 3)], [(8,), None], ROWS),
        ([(8, 4)], [(None, 2)], ROWS),
        ([(1, 4)], [(1, 2)], of_one()),
        ([(1, 4)], [None], of_one()),
        ([(1, 4, 2)], [(None, 2)], of_one("y0")),
        ([(1, 4), (None, 3)], [(1, 2), (100, 4), ()], of_one("y1", "y2")),
        ([()], [()], without_batch()),
        ([(), (4,)], [(3,)], without_batch()),
        ([(), (1, 4)], [(1, 3)], without_batch()),
        ([(4,)], [()], without_batch()),
        ([(4,)], [(2,)], without_batch()),
        ([(4, 3)], [(4,), (2,)], without_batch(2)),
        ([(4,), (3, 3)], [(None,)], without_batch()),
    ],
)
def test_the_layout_by_the_signature(inputs: list[Shape], outputs: list[Shape], layout: Layout) -> None:
    found = signature(inputs, outputs)
    assert layout_of(found, list(found.outputs)) == layout


def test_an_output_that_is_dropped_says_nothing() -> None:
    found = signature([(4, 3)], [(4,), (2,)])
    assert layout_of(found, ["y0"]) == ROWS


def test_inputs_with_and_without_a_batch_dimension_are_refused() -> None:
    with pytest.raises(BundleError, match=r"'x1' takes float32 \[\], which has no batch dimension, and 'x0'"):
        layout_of(signature([(None, 4), ()], [(None,)]), ["y0"])


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(BundleError, match="batch size 0"):
        layout_of(signature([(0, 4)], [(0, 4)]), ["y0"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "layout"),
    [
        ([(None, 4)], [(None, 2)], of_one()),
        ([(None, 4)], [(8, 2)], ROWS),  # by the signature: not of items, and refused as that
        ([(1, 4)], [None], of_one("y0")),
        ([(1, 4)], [(1, 2)], of_one()),
        ([(100, 4), (100,)], [(None, 4)], without_batch()),  # boxes and scores of one image
        ([(8, 4)], [(8, 2)], ROWS),
        ([()], [(None,)], without_batch()),
    ],
)
def test_rows_that_go_by_values_are_given_one_item(
    inputs: list[Shape], outputs: list[Shape], layout: Layout
) -> None:
    found = signature(inputs, outputs)
    kept = list(found.outputs)
    assert with_changing_rows(layout_of(found, kept), found, kept) == layout


def test_everything_is_seen_with_a_batch_dimension() -> None:
    plain = signature([(None, 4)], [(None, 2)])
    assert ROWS.seen(plain) == plain
    assert of_one().seen(plain) == signature([(1, 4)], [(None, 2)])
    assert of_one("y0").seen(plain) == signature([(1, 4)], [(1, None, 2)])
    assert without_batch().seen(signature([(), (4,)], [(3,)])) == signature([(1,), (1, 4)], [(1, 3)])
