"""JSONata: what comes out is plain JSON or an error, and nothing that went in is changed."""

import copy
import dataclasses
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise_local.clock import Clock
from fanwise_local.states import expressions
from fanwise_local.states.errors import QueryEvaluationError
from fanwise_local.states.expressions import ExpressionSyntaxError, compile_expression
from fanwise_local.states.payloads import JSON
from fanwise_local.states.scope import Scope
from fanwise_local.states.templates import Literal, compile_template

from .machines import output_of

FAILED = "States.QueryEvaluationError"
INPUT = {"a": 1.0, "none": None, "one": [5], "empty": [], "holes": [None, 1], "deep": [{"k": 1}, {"k": [2]}]}


def scope(state_input: JSON, **variables: JSON) -> Scope:
    return Scope({"input": state_input, "context": {}}, variables, Clock(), random.Random(1))


def plain_types(value: JSON) -> bool:
    if type(value) is dict:
        return all(type(name) is str and plain_types(part) for name, part in value.items())
    if type(value) is list:
        return all(plain_types(part) for part in value)
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$states.input.none", None),  # null is a value, not nothing
        ("[$states.input.none]", [None]),
        ("$exists($states.input.none)", True),
        ("$exists($states.input.absent)", False),
        ("$states.input.absent", FAILED),
        ("$absent", FAILED),
        ("$states.result", FAILED),  # there is none before a Task has one
        ("$states.input.one", [5]),
        ("$states.input.one[0]", 5),
        ("$states.input.deep.k", [1, 2]),
        ("$states.input.deep[k = 1].k", 1),  # a sequence of one is its member
        ("$states.input.deep[k = 1].k[]", [1]),
        ("$states.input.deep[k = 9]", FAILED),  # an empty sequence is nothing
        ("$states.input.empty", []),
        ("$filter($states.input.holes, function($v) { $v = null })", None),  # one null is itself
        ("$count($states.input.holes)", 2),
        ("[1..3]", [1, 2, 3]),
        ("2 / 2", 1),
        ("1 / 4", 0.25),
        ("$states.input.a", 1),
        ("$string($states.input.a)", "1"),
        ("{'kept': 1, 'dropped': $states.input.absent}", {"kept": 1}),
        ("$merge([$states.input, {'a': 2}]).a", 2),
        ("$sum", FAILED),  # a function is no JSON
        ("function($x) { $x }", FAILED),
        ("/regex/", FAILED),
        ("1 / 0", FAILED),
        ("'a' < 1", FAILED),
        ("$sqrt(-1)", FAILED),
        ("$error('said so')", FAILED),
        ("($f := function($n) { $n < 1 ? 0 : 1 + $f($n - 1) }; $f(30))", 30),
        ("($f := function($n) { $n < 1 ? 0 : 1 + $f($n - 1) }; $f(100000))", FAILED),
    ],
)
def test_values(expression: str, expected: JSON) -> None:
    value = output_of(expression, INPUT)
    assert value == expected
    assert type(value) is type(expected)
    assert plain_types(value)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$partition([1, 2, 3, 4], 3)", [[1, 2, 3], [4]]),
        ("$partition([1, 2], 0)", FAILED),
        ("$range(0, 10, 5)", [0, 5, 10]),
        ("$range(3, 1, -1)", [3, 2, 1]),
        ("$range(0, 999, 1)[-1]", 999),
        ("$range(0, 1000, 1)", FAILED),
        ("$range(0, 9, 0)", FAILED),
        ("$range(0.5, 9, 1)", FAILED),
        ("$hash('Hello', 'MD5')", "8b1a9953c4611296a827abf8c47804d7"),
        ("$length($hash('ñ', 'SHA-512'))", 128),
        ("$hash('Hello', 'CRC')", FAILED),
        ('$parse(\'{"b": 1, "a": [1.0, null]}\')', {"b": 1, "a": [1, None]}),
        ("$parse('9223372036854775807')", 9223372036854775807),
        ("$parse('')", FAILED),
        ('$parse(\'{"a": 1, "a": 2}\')', FAILED),
        ("$parse('[1] [2]')", FAILED),
        ("$parse('1e400')", FAILED),
        ("$parse('NaN')", FAILED),
        ("$map(['1', '2'], $parse)", [1, 2]),
        ("$random(4) = $random(4)", True),
        ("$random() = $random()", False),
        ("$uuid() = $uuid()", False),
        ("$millis()", 1767225600000),
        ("$now()", "2026-01-01T00:00:00.000Z"),
    ],
)
def test_functions_of_step_functions(expression: str, expected: JSON) -> None:
    assert output_of(expression) == expected


def test_uuid_is_version_4() -> None:
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", output_of("$uuid()")
    )


@pytest.mark.parametrize(
    "source", ["$eval('1')", "$map([1], $eval)", "1 +", "(", "", "name", "$", "$$.a", "name.a"]
)
def test_what_step_functions_refuses_is_refused_at_load(source: str) -> None:
    with pytest.raises(ExpressionSyntaxError):
        compile_expression(source, "Output")


def test_a_variable_that_is_null_is_null() -> None:
    assert output_of("$nothing", nothing=None) is None
    assert output_of("[$nothing]", nothing=None) == [None]


def test_a_runaway_expression_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MAX_EVALUATION_S", 0.05)
    assert output_of("($f := function($n) { $f($n + 1) }; $f(1))") == FAILED


def test_messages_name_expression_field_and_problem() -> None:
    template = compile_template({"a": ["{% $states.input.b %}"]}, "Arguments")
    with pytest.raises(QueryEvaluationError) as raised:
        template.evaluate(scope({}))
    assert raised.value.location == "Arguments/a[0]"
    assert raised.value.cause == (
        "The JSONata expression '$states.input.b' specified for the field 'Arguments/a[0]' "
        "returned nothing (undefined)."
    )


@pytest.mark.parametrize("text", ["plain", "{% open", " {% 1 %}", "{% 1 %} ", "{%}", "%}{%"])
def test_a_string_that_is_no_whole_expression_is_itself(text: str) -> None:
    assert compile_template([text], "Output") == Literal([text])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(["", "a", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(value=values, path=st.lists(st.sampled_from("abc"), max_size=3), variable=st.booleans())
@settings(deadline=None)
def test_a_bare_path_walked_directly_gives_what_jsonata_gives(
    value: JSON, path: list[str], variable: bool
) -> None:
    source = ".".join(["$v" if variable else "$states.input", *path])
    direct = compile_expression(source, "Output")
    assert direct.path is not None
    through_jsonata = compile_expression(f"({source})", "Output")
    assert through_jsonata.path is None
    assert outcome(direct, scope(value, v=value)) == outcome(through_jsonata, scope(value, v=value))


def outcome(expression: expressions.Expression, seen: Scope) -> str:
    try:
        return json.dumps(expression.evaluate(seen))
    except QueryEvaluationError as error:
        return error.error


@given(value=values)
@settings(deadline=None)
def test_evaluating_changes_nothing_that_went_in(value: JSON) -> None:
    before = copy.deepcopy(value)
    seen = scope({"v": value}, w=value)
    for source in (
        "$merge([{'v': $states.input.v}, {'n': null}])",
        "$append($states.input.v, [1, null])",
        "[$states.input.v, $w, null]",
        "$states.input.v[]",
        "$reverse([$w])",
        "$states.input ~> | $ | {'added': null} |",
        "$w.a.b[0]",
    ):
        outcome(compile_expression(source, "Output"), seen)
    assert json.dumps(value) == json.dumps(before)


@given(value=values)
@settings(deadline=None)
def test_a_value_through_jsonata_is_the_same_json(value: JSON) -> None:
    through: Any = compile_expression("[$states.input]", "Output").evaluate(scope([value, 0]))
    assert through == [value, 0]
    assert plain_types(through)


CHOICE = "$states.input.runtime = 'litert' ? 'one' : 'other'"


@pytest.mark.parametrize("source", [CHOICE, '$states.input.runtime="litert"?"one":"other"'])
@pytest.mark.parametrize(
    "state_input",
    [
        {"runtime": "litert"},
        {"runtime": "tensorflow"},
        {"runtime": ""},
        {"runtime": None},
        {"runtime": 1},
        {"runtime": True},
        {"runtime": ["litert"]},
        {"runtime": ["a", "b"]},
        {"runtime": {}},
        {},
        [{"runtime": "litert"}],
        [{"runtime": "litert"}, {"runtime": "x"}],
        "text",
    ],
)
def test_a_choice_walked_directly_gives_what_jsonata_gives(source: str, state_input: JSON) -> None:
    walked = compile_expression(source, "field")
    assert walked.choice == ("litert", "one", "other")
    through_jsonata = dataclasses.replace(walked, path=None, choice=None)
    assert walked.evaluate(scope(state_input)) == through_jsonata.evaluate(scope(state_input))


@pytest.mark.parametrize(
    "source",
    [
        "$states.input.runtime = 'it\\'s' ? 'one' : 'other'",
        "$states.input.a.in = 'x' ? 'one' : 'other'",
        "$states.input.runtime = 'x' ? 'one' : $states.input.runtime",
        "$states.input.a = 'x' ? 'one' : $states.input.b = 'y' ? 'two' : 'other'",
    ],
)
def test_another_choice_is_left_to_jsonata(source: str) -> None:
    try:
        assert compile_expression(source, "field").choice is None
    except ExpressionSyntaxError:
        assert ".in" in source
