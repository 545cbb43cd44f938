"""What an item lacks, in words that name what the model takes and what the item has."""

from typing import Any

import pytest

from fanwise.errors import ItemsFileError, MissingInput
from fanwise.model.missing import explained, lacking, named, refuse_misspelt_columns
from fanwise.records import Kind

KINDS: dict[str, Kind] = {"age": "number", "photo": "image", "note": "text"}


@pytest.mark.parametrize(
    ("given", "has_uri", "lacks"),
    [
        ([], False, ("age", "photo", "note")),
        (["age", "photo", "note", "more"], False, ()),
        (["age", "note"], True, ()),  # the uri is the photo
        (["note"], True, ("age",)),
        (["Age", "note "], True, ("age", "note")),
    ],
)
def test_lacking(given: list[str], has_uri: bool, lacks: tuple[str, ...]) -> None:
    assert lacking(given, KINDS, has_uri=has_uri) == lacks


def test_a_uri_is_nobodys_where_it_could_be_either_of_two() -> None:
    two: dict[str, Kind] = {"left": "image", "right": "image"}
    assert lacking([], two, has_uri=True) == ("left", "right")
    assert lacking(["left"], two, has_uri=True) == ()


def told(given: dict[str, Any], beside: dict[str, Any] | None = None) -> MissingInput:
    return explained(MissingInput("it lacks 'age'"), given, beside or {}, KINDS, has_uri=True)


def test_both_sides_are_named() -> None:
    error = told({"height": 1, "note": "x"})
    assert str(error) == (
        "it lacks 'age'; the model takes 'age', 'photo', 'note', the item has 'height', 'note'"
    )
    assert error.lacks == ("age",)
    assert str(told({})).endswith("the item has nothing there")
    assert str(told({"note": ""}, {"salary": 1})).endswith("the item has 'note', and 'salary' beside it")


@pytest.mark.parametrize("own", ["Age", " age", "AGE ", "a_ge", "a-g.e"])
def test_names_that_nearly_match(own: str) -> None:
    assert f"it lacks 'age'; {own!r} is not 'age'; the model takes" in str(told({own: 1, "note": ""}))


def test_a_value_beside_inputs() -> None:
    text = str(told({"note": ""}, {"age": 31, "label": 3}))
    assert "it lacks 'age'; 'age' stands beside \"inputs\", not in it; the model takes" in text


def test_many_and_long_names_are_cut() -> None:
    assert named([f"n{n}" for n in range(22)]).endswith("'n19', and 2 more")
    assert named(["x" * 100]) == repr("x" * 59 + "…")


def test_columns_that_nearly_match_are_refused_and_others_are_not() -> None:
    with pytest.raises(ItemsFileError) as refused:
        refuse_misspelt_columns(["id", "Age", "Note ", "uri"], "rows.csv", KINDS)
    assert str(refused.value) == (
        "rows.csv, header: 'Age' is not 'age', 'Note ' is not 'note', so every row would lack an input;"
        " name the columns as the model does: 'age', 'photo', 'note'"
    )
    refuse_misspelt_columns(["id", "age", "AGE", "note", "uri"], "rows.csv", KINDS)  # age is there
    refuse_misspelt_columns(["id", "years", "note", "uri"], "rows.csv", KINDS)
