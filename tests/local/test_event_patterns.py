"""Event patterns against the examples of the guide (eb-create-pattern-operators) and of aws/event-ruler."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise_local.event_patterns import UnknownPatternError, check_pattern, matches

# The event of event-ruler's README, with an array of objects and a null beside.
EVENT = {
    "version": "0",
    "id": "ddddd4-aaaa-7777-4444-345dd43cc333",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "012345679012",
    "time": "2017-10-02T16:24:49Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],
    "detail": {
        "c-count": 5,
        "d-count": 3,
        "x-limit": 301.8,
        "source-ip": "10.0.0.33",
        "instance-id": "i-000000aaaaaa00000",
        "state": "running",
        "path": "dir/sub/picture.png",
        "stars": "a*b\\c",
        "nothing": None,
        "truth": True,
        "none": [],
        "numbers": [1, 2.0, "3"],
        "nested": [[1], [[2]]],
        "employees": [
            {"firstName": "John", "lastName": "Doe"},
            {"firstName": "Anna", "lastName": "Smith"},
            [{"firstName": "Peter", "lastName": "Jones"}],
        ],
    },
}


def detail(**fields: Any) -> dict[str, Any]:
    return {"detail": {name.replace("_", "-"): wanted for name, wanted in fields.items()}}


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ({"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]}, True),
        ({"source": ["aws.ec2"], "detail-type": ["Another"]}, False),
        ({"resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000", "x"]}, True),
        (detail(state=["initializing", "running"]), True),
        (detail(state={"is": ["running"]}), False),
        (detail(c_count=[5]), True),
        (detail(c_count=[5.0]), True),
        (detail(c_count=["5"]), False),
        (detail(x_limit=[3.018e2]), True),
        (detail(nothing=[None]), True),
        (detail(absent=[None]), False),
        (detail(truth=[True]), True),
        (detail(truth=[1]), False),
        (detail(numbers=[2]), True),
        (detail(numbers=[3]), False),
        (detail(nested=[2]), True),
        ({"time": [{"prefix": "2017-10-02"}]}, True),
        ({"region": [{"prefix": "eu-"}]}, False),
        (detail(c_count=[{"prefix": "5"}]), False),
        ({"region": [{"prefix": {"equals-ignore-case": "US-E"}}]}, True),
        (detail(path=[{"suffix": ".png"}]), True),
        (detail(path=[{"suffix": {"equals-ignore-case": ".PNG"}}]), True),
        (detail(path=[{"suffix": ".PNG"}]), False),
        (detail(state=[{"equals-ignore-case": "RUNNING"}]), True),
        (detail(state=[{"equals-ignore-case": "RUN"}]), False),
        (detail(path=[{"wildcard": "dir/*.png"}]), True),
        (detail(path=[{"wildcard": "dir/*/*.png"}]), True),
        (detail(path=[{"wildcard": "*.jpg"}]), False),
        (detail(path=[{"wildcard": "dir"}]), False),
        (detail(stars=[{"wildcard": "a\\*b\\\\c"}]), True),
        (detail(stars=[{"wildcard": "a\\*b\\\\d"}]), False),
        (detail(c_count=[{"wildcard": "*"}]), False),
        (detail(state=[{"anything-but": "initializing"}]), True),
        (detail(state=[{"anything-but": "running"}]), False),
        (detail(state=[{"anything-but": ["stopped", "running"]}]), False),
        (detail(x_limit=[{"anything-but": [100, 200, 300]}]), True),
        (detail(x_limit=[{"anything-but": 301.8}]), False),
        (detail(state=[{"anything-but": {"prefix": "init"}}]), True),
        (detail(state=[{"anything-but": {"prefix": ["init", "run"]}}]), False),
        (detail(path=[{"anything-but": {"suffix": ".png"}}]), False),
        (detail(path=[{"anything-but": {"suffix": [".jpg", ".gif"]}}]), True),
        (detail(path=[{"anything-but": {"wildcard": "*/lib/*"}}]), True),
        (detail(path=[{"anything-but": {"wildcard": ["*/lib/*", "*/sub/*"]}}]), False),
        (detail(state=[{"anything-but": {"equals-ignore-case": ["Running", "x"]}}]), False),
        (detail(nothing=[{"anything-but": "running"}]), True),
        (detail(absent=[{"anything-but": "running"}]), False),
        (detail(absent=[{"anything-but": {"suffix": "g"}}]), False),
        (detail(c_count=[{"numeric": [">", 0, "<=", 5]}], d_count=[{"numeric": ["<", 10]}]), True),
        (detail(x_limit=[{"numeric": ["=", 3.018e2]}]), True),
        (detail(c_count=[{"numeric": [">", 5]}]), False),
        (detail(c_count=[{"numeric": [">=", 5, "<", 6]}]), True),
        (detail(state=[{"numeric": [">", 0]}]), False),
        (detail(truth=[{"numeric": [">", 0]}]), False),
        (detail(source_ip=[{"cidr": "10.0.0.0/24"}]), True),
        (detail(source_ip=[{"cidr": "10.0.1.0/24"}]), False),
        (detail(state=[{"cidr": "10.0.0.0/8"}]), False),
        (detail(c_count=[{"exists": True}]), True),
        (detail(c_count=[{"exists": False}]), False),
        (detail(nothing=[{"exists": True}]), True),
        (detail(absent=[{"exists": False}]), True),
        (detail(absent=[{"exists": True}]), False),
        (detail(none=[{"exists": False}]), True),
        (detail(numbers=[{"exists": True}]), True),
        (detail(employees=[{"exists": True}]), False),  # no leaf
        (detail(employees=[{"exists": False}]), True),
        (detail(absent={"below": [{"exists": False}]}), True),
        (detail(state={"below": [{"exists": False}]}), True),
        (detail(c_count=[{"exists": False}, {"numeric": [">", 3]}]), True),
        (detail(employees={"firstName": ["Anna"]}), True),
        (detail(employees={"firstName": ["Anna"], "lastName": ["Smith"]}), True),
        (detail(employees={"firstName": ["Anna"], "lastName": ["Jones"]}), False),
        (detail(employees={"firstName": ["Peter"]}), True),
        ({"source": ["aws.ec2"], "$or": [{"region": ["x"]}, {"account": ["012345679012"]}]}, True),
        ({"source": ["aws.ec2"], "$or": [{"region": ["x"]}, {"account": ["y"]}]}, False),
        ({"source": ["x"], "$or": [{"region": ["us-east-1"]}, {"account": ["y"]}]}, False),
        ({"$or": [{"region": ["us-east-1"], "source": ["x"]}, {"detail": {"c-count": [5]}}]}, True),
        ({"detail": {"$or": [{"c-count": [{"numeric": [">", 9]}]}, {"state": ["running"]}]}}, True),
        ({"$or": [{"a": [1]}, {"b": [1], "$or": [{"source": ["aws.ec2"]}, {"c": [1]}]}]}, False),
    ],
)
def test_a_pattern_takes_an_event_as_eventbridge_does(pattern: dict[str, Any], taken: bool) -> None:
    check_pattern(pattern)
    assert matches(pattern, EVENT) == taken


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ({}, "{} is not an object of fields"),
        (None, "None is not an object of fields"),
        ({"a": "text"}, "a: 'text' is neither an object of fields nor a list of values"),
        ({"a": []}, "a: [] is neither"),
        ({"a": {"b": {}}}, "a.b: {} is not an object of fields"),
        ({"a": {"b": ["x", [1]]}}, "a.b[1]: [1]: a list in a list compares with nothing"),
        ({"a": [{"starts-with": "x"}]}, "a[0]: 'starts-with' is no comparison; known are prefix, suffix"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "is not one comparison"),
        ({"a": [{"prefix": 1}]}, "a[0].prefix: 1 is not text"),
        ({"a": [{"prefix": {"suffix": "x"}}]}, 'neither text nor {"equals-ignore-case": text}'),
        ({"a": [{"wildcard": "a**b"}]}, "a[0].wildcard: 'a**b' is no wildcard: two * in a row"),
        ({"a": [{"wildcard": "a\\b"}]}, "no wildcard: a backslash stands before"),
        ({"a": [{"wildcard": "a\\"}]}, "no wildcard: a backslash stands before"),
        ({"a": [{"exists": "false"}]}, "neither true nor false"),
        ({"a": [{"numeric": [">", "0"]}]}, "not about numbers"),
        ({"a": [{"numeric": ["=", 6e9]}]}, "not about numbers from -5e+09 to 5e+09"),
        ({"a": [{"numeric": ["!=", 0]}]}, "not made of ="),
        ({"a": [{"numeric": [">", 0, "<"]}]}, "not [comparison, number]"),
        ({"a": [{"numeric": ["<", 0, ">", 5]}]}, "no range: its lower end"),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "an empty range"),
        ({"a": [{"anything-but": [1, "a"]}]}, "neither texts nor numbers"),
        ({"a": [{"anything-but": []}]}, "neither texts nor numbers"),
        ({"a": [{"anything-but": None}]}, "neither texts nor numbers"),
        ({"a": [{"anything-but": {"numeric": [">", 1]}}]}, "not one of prefix, suffix"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "not text that is not empty"),
        ({"a": [{"anything-but": {"suffix": []}}]}, "an empty list"),
        ({"a": [{"anything-but": {"wildcard": ["x", "**"]}}]}, "two * in a row"),
        ({"a": [{"cidr": "10.0.0.0/64"}]}, "no block of IP addresses"),
        ({"a": [{"cidr": "10.0.0.1"}]}, "no block of IP addresses"),
        ({"$or": [{"a": [1]}]}, "$or: is not a list of at least two patterns"),
        ({"$or": [{"a": [1]}, {"numeric": 123}]}, "$or[1].numeric: 123 is neither"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(pattern: object, why: str) -> None:
    with pytest.raises(UnknownPatternError, match=re.escape(why)):
        check_pattern(pattern)


TEXTS = st.text("ab*\\\n.[", max_size=8)


def as_wildcard(parts: list[str]) -> str:
    """The wildcard that has any text between its parts."""
    return "*".join(part.replace("\\", "\\\\").replace("*", "\\*") for part in parts)


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4), st.data())
def test_a_wildcard_is_its_parts_in_order_with_anything_between(
    parts: list[str], draws: st.DataObject
) -> None:
    pattern = {"a": [{"wildcard": as_wildcard(parts)}]}
    check_pattern(pattern)
    gaps = [draws.draw(TEXTS) for _ in parts[1:]]
    text = parts[0] + "".join(gap + part for gap, part in zip(gaps, parts[1:], strict=True))
    assert matches(pattern, {"a": text})
    other = draws.draw(TEXTS)
    assert matches(pattern, {"a": other}) == is_made_of(parts, other)
    assert matches({"a": [{"anything-but": pattern["a"][0]}]}, {"a": other}) != is_made_of(parts, other)


def is_made_of(parts: list[str], text: str) -> bool:
    """Whether a text begins with the first part, ends with the last, and has the others between, in order."""
    first, *rest = parts
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    text = text[len(first) :]
    for part in rest[:-1]:
        at = text.find(part)
        if at < 0:
            return False
        text = text[at + len(part) :]
    return text.endswith(rest[-1])
