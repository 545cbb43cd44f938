"""Numbers into tensors: whatever shape and dtype, and each way of being wrong."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from fanwise.errors import ItemError, NotANumber, NotFinite, OutOfRange, ShapeMismatch
from fanwise.model.arrays import columns_reader, number_reader, rows_reader
from fanwise.model.signature import FLOATS, INTEGERS, TensorSpec

Shape = tuple[int | None, ...] | None
NUMPY_FLOATS = ("float16", "float32", "float64")


def read(raw: str | bytes, dtype: str = "float32", shape: Shape = (None, 2)) -> np.ndarray[Any, Any]:
    raw = raw.encode() if isinstance(raw, str) else raw
    return number_reader("x", TensorSpec(dtype, shape))(raw)


@given(st.data(), st.sampled_from([*sorted(INTEGERS), "bool", *NUMPY_FLOATS]))
def test_any_array_comes_back_as_it_was(data: st.DataObject, dtype: str) -> None:
    shapes = stn.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)
    elements = {"allow_nan": False, "allow_infinity": False} if dtype in NUMPY_FLOATS else {}
    array = data.draw(stn.arrays(dtype, shapes, elements=elements))
    opened = data.draw(st.tuples(*(st.sampled_from((size, None)) for size in array.shape)))
    found = read(msgspec.json.encode(array.tolist()), dtype, (None, *opened))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(read(msgspec.json.encode(array.tolist()), dtype, None), array)


@given(st.recursive(st.floats() | st.integers() | st.text() | st.none() | st.booleans(), st.lists), st.data())
def test_any_json_is_a_row_or_an_item_error(value: Any, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(sorted(INTEGERS | FLOATS | {"bool"})))
    shape = data.draw(st.none() | st.lists(st.sampled_from((None, 1, 2)), min_size=1, max_size=3).map(tuple))
    try:
        row = read(msgspec.json.encode(value), dtype, shape)
    except ItemError as error:
        assert error.stage == "shape"
        assert str(error).startswith("input 'x'")
    else:
        assert np.isfinite(row).all()
        assert shape is None or row.ndim == len(shape) - 1


@given(st.data(), st.sampled_from([*sorted(INTEGERS), "bool", *NUMPY_FLOATS]))
def test_rows_in_one_go_are_those_that_are_read_one_by_one(data: st.DataObject, dtype: str) -> None:
    shape = data.draw(stn.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype in NUMPY_FLOATS else {}
    rows = data.draw(stn.arrays(dtype, (data.draw(st.integers(1, 5)), *shape), elements=elements))
    raws = [msgspec.json.encode(row.tolist()) for row in rows]
    opened = data.draw(st.tuples(*(st.sampled_from((size, None)) for size in shape)))
    found = rows_reader("x", TensorSpec(dtype, (None, *opened)))(raws)
    assert found is not None
    alone = np.stack([read(raw, dtype, (None, *opened)) for raw in raws])
    assert (found.dtype, found.shape, found.tobytes()) == (alone.dtype, alone.shape, alone.tobytes())


@given(
    st.lists(
        st.recursive(st.floats() | st.integers() | st.text() | st.none() | st.booleans(), st.lists),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_rows_of_any_json_are_read_in_one_go_only_where_each_is_right(values: list[Any], data: Any) -> None:
    dtype = data.draw(st.sampled_from(sorted(INTEGERS | FLOATS | {"bool"})))
    shape = data.draw(st.none() | st.lists(st.sampled_from((None, 1, 2)), min_size=1, max_size=3).map(tuple))
    raws = [msgspec.json.encode(value) for value in values]
    found = rows_reader("x", TensorSpec(dtype, shape))(raws)
    if found is not None:
        assert found.tobytes() == np.stack([read(raw, dtype, shape) for raw in raws]).tobytes()


@pytest.mark.parametrize("wrong", ["[1]", "3", "[1, null]", "[1, true]", "[1e300, 1]", '"1, 2"', "[[1, 2]]"])
def test_a_value_that_is_wrong_is_left_to_be_read_by_itself(wrong: str) -> None:
    rows = rows_reader("x", TensorSpec("float32", (None, 2)))
    assert rows([b"[1, 2]", wrong.encode(), b"[3, 4]"]) is None
    assert rows([b"[1, 2]", b"[3, 4]"]) is not None


def test_what_json_writes_in_another_form_passes() -> None:
    assert read("[31.0, 1e3]", "int64").tolist() == [31, 1000]
    assert read("[1, 0]", "bool").tolist() == [True, False]
    assert read(" [ 1,\n2 ] ").tolist() == [1.0, 2.0]
    assert read("9223372036854775807", "int64", (None,)).item() == 2**63 - 1
    assert read("[18446744073709551615]", "uint64", (None, 1)).item() == 2**64 - 1


def test_a_bare_number_is_taken_for_shape_one() -> None:
    assert read("31", shape=(None, 1)).tolist() == [31.0]
    assert read("[31]", shape=(None, 1)).tolist() == [31.0]


def test_bfloat16_travels_as_float32() -> None:
    assert read("[1, 2]", "bfloat16").dtype == np.float32


@pytest.mark.parametrize(
    ("raw", "dtype", "error", "message"),
    [
        ("[1, 2, 3]", "float32", ShapeMismatch, "the value has shape [3], it takes [2]"),
        ("3", "float32", ShapeMismatch, "the value has shape [], it takes [2]"),
        ("[[1, 2]]", "float32", ShapeMismatch, "the value has shape [1, 2], it takes [2]"),
        ("[[1], 2]", "float32", ShapeMismatch, "rows of different lengths; it takes [2]"),
        ("[1, null]", "float32", NotANumber, "x[1] is null, not a number"),
        ("[1, true]", "float32", NotANumber, "x[1] is true, not a number"),
        ("[1, true]", "int32", NotANumber, "x[1] is true, not a number"),
        ('["1", 2]', "float32", NotANumber, 'x[0] is "1", not a number'),
        ('{"a": 1}', "float32", NotANumber, "'x' is {\"a\":1}, not a number"),
        ("[2, 1]", "bool", NotANumber, "x[0] is 2, not true or false"),
        ("[0.5, 1]", "bool", NotANumber, "x[0] is 0.5, not true or false"),
        ("[1.5, 1]", "int8", OutOfRange, "x[0] is 1.5, and the input takes whole numbers (int8)"),
        ("[1, 300]", "uint8", OutOfRange, "300 does not fit uint8 (0 to 255)"),
        ("[-1, 1]", "uint64", OutOfRange, "-1 does not fit uint64"),
        ("[1e300, 1]", "int64", OutOfRange, "does not fit int64"),
        ("[1e300, 1]", "float32", NotFinite, "1e+300 is infinite as float32"),
        ("[70000, 1]", "float16", NotFinite, "70000.0 is infinite as float16"),
        ("[1e400, 1]", "float64", OutOfRange, "[1e400, 1] holds a number beyond float64"),
        ("nan", "float32", NotFinite, "nan is not a number"),
        ("-Inf", "float32", NotFinite, "-Inf is not a number"),
        ("", "float32", NotANumber, "is not a number"),
        ("twelve", "float32", NotANumber, "twelve is not a number"),
    ],
)
def test_what_is_wrong_with_a_value(raw: str, dtype: str, error: type[ItemError], message: str) -> None:
    with pytest.raises(error) as refused:
        read(raw, dtype)
    assert message in str(refused.value)


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(NotANumber) as refused:
        read(b'["' + b"a" * 10_000 + b'"]')
    assert len(str(refused.value)) < 200


def test_columns_are_stacked_in_order() -> None:
    reader = columns_reader("table", ["age", "income"], TensorSpec("float32", (None, 2)))
    assert reader([b"31", b"1.5e3"]).tolist() == [31.0, 1500.0]


@pytest.mark.parametrize(
    ("raws", "error", "message"),
    [
        ([b"31", b"much"], NotANumber, "input 'income': much is not a number"),
        ([b"[31]", b"1"], ShapeMismatch, "input 'age': the value has shape [1], it takes []"),
        ([b"31", b"1, 2"], NotANumber, "input 'income'"),
        ([b"", b"1"], NotANumber, "input 'age'"),
    ],
)
def test_a_bad_column_is_named(raws: list[bytes], error: type[ItemError], message: str) -> None:
    reader = columns_reader("table", ["age", "income"], TensorSpec("float32", (None, 2)))
    with pytest.raises(error) as refused:
        reader(raws)
    assert message in str(refused.value)
