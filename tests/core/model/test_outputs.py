"""Tensors into predictions: every keep, ties, labels, and rows that cannot be written."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from fanwise.errors import NonFiniteResult, NotUtf8Result, ResultShapeMismatch, ResultTooLarge
from fanwise.limits import MAX_LINE_BYTES
from fanwise.model.binding import BoundOutput
from fanwise.model.contract import OutputContract
from fanwise.model.outputs import answers


def say(tensor: Any, labels: tuple[str, ...] | None = None, **contract: Any) -> list[object]:
    tensor = np.asarray(tensor)
    return answers("y", BoundOutput("y", OutputContract(**contract), labels), tensor)


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


@pytest.mark.parametrize(
    ("tensor", "written"),
    [
        (np.array([0.98, 0.5], np.float32), "[0.98,0.5]"),
        (np.array([[0.1, 2.0]], np.float16), "[[0.1,2.0]]"),
        (np.array([0.1]), "[0.1]"),
        (np.array([[1, -2]], np.int64), "[[1,-2]]"),
        (np.array([2**64 - 1], np.uint64), "[18446744073709551615]"),
        (np.array([True, False]), "[true,false]"),
        (np.array(["größe".encode()], object), '["größe"]'),
        (np.array([[b"a", b"b"]], object), '[["a","b"]]'),
        (np.zeros((2, 0), np.float32), "[[],[]]"),
    ],
)
def test_raw_is_the_rows_as_they_are(tensor: Any, written: str) -> None:
    assert as_json(say(tensor)) == written


def test_top_k_is_best_first_with_labels() -> None:
    found = say(np.array([[0.1, 0.7, 0.2]], np.float32), ("a", "b", "c"), keep="top_k", k=2)
    assert found == [[{"label": "b", "score": 0.7}, {"label": "c", "score": 0.2}]]


def test_without_labels_the_label_is_the_index_and_k_is_five() -> None:
    (found,) = say([range(10)], keep="top_k")
    assert found == [{"label": str(i), "score": i} for i in (9, 8, 7, 6, 5)]
    assert say([[3, 1]], keep="top_k", k=9) == [[{"label": "0", "score": 3}, {"label": "1", "score": 1}]]


@pytest.mark.parametrize("keep", ["top_k", "argmax"])
@pytest.mark.parametrize(
    ("tensor", "labels", "message"),
    [
        (
            np.ones((2, 1), np.float32),
            None,
            'one score an item, which is the best for every item; say "keep": "raw"',
        ),
        (np.ones((2, 0), np.float32), None, "output 'y' has shape [0] for an item"),
        (np.ones(2, np.float32), None, "output 'y' has shape [] for an item"),
        (np.ones((2, 3, 4), np.int32), None, "output 'y' has shape [3, 4] for an item"),
        (
            np.ones((2, 3), np.float32),
            ("a", "b"),
            "output 'y' has 3 scores for an item, and labels.txt has 2",
        ),
        (
            np.ones((2, 3), np.float32),
            tuple("abcd"),
            "output 'y' has 3 scores for an item, and labels.txt has 4",
        ),
    ],
)
def test_what_has_no_scores_to_choose_from_is_a_dead_letter(
    keep: Any, tensor: Any, labels: tuple[str, ...] | None, message: str
) -> None:
    output = BoundOutput("y", OutputContract(keep=keep, labels="labels.txt" if labels else None), labels)
    found = answers("y", output, tensor)
    assert [type(one) for one in found] == [ResultShapeMismatch] * 2
    assert message in str(found[0])


@given(
    stn.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=st.integers(0, 3)),
    st.integers(1, 12),
)
def test_equal_scores_go_by_index(tensor: np.ndarray[Any, Any], k: int) -> None:
    for row, found in zip(tensor, say(tensor, keep="top_k", k=k), strict=True):
        expected = sorted(range(len(row)), key=lambda i: (-int(row[i]), i))[:k]
        assert [entry["label"] for entry in found] == [str(i) for i in expected]  # type: ignore[attr-defined]
    assert say(tensor, keep="argmax") == [found[0] for found in say(tensor, keep="top_k", k=1)]  # type: ignore[index]


@pytest.mark.parametrize("keep", ["raw", "top_k", "argmax"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_fails_alone(keep: str, bad: float) -> None:
    good = np.array([[0.1, 0.7], [0.6, 0.2]], np.float32)
    first, wrong, last = say(np.vstack([good[:1], [[bad, 1]], good[1:]]).astype(np.float32), keep=keep)
    assert [first, last] == say(good, keep=keep)
    assert isinstance(wrong, NonFiniteResult)
    assert str(wrong) == "output 'y' holds NaN or infinity for this item"


def test_bytes_that_are_no_text_fail_alone() -> None:
    first, wrong = say(np.array([b"a", b"\xff"], object))
    assert first == "a"
    assert isinstance(wrong, NotUtf8Result)


def test_more_text_than_a_line_may_have_fails_alone() -> None:
    most = b"a" * MAX_LINE_BYTES
    first, wrong = say(np.array([most, most + b"a"], object))
    assert first == most.decode()
    assert isinstance(wrong, ResultTooLarge)
    assert "output 'y' holds 8,388,609 bytes of text for this item; at most 8,388,608" in str(wrong)
    rows = np.array([[most, b""], [most, b"a"]], object)
    assert [type(found) for found in say(rows)] == [list, ResultTooLarge]
