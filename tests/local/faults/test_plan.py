"""The fault plan: what it holds comes back, what is wrong is named, and what befalls whom is always the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.errors import InputError
from fanwise_local.faults.plan import MAX_SEED, FaultPlan, Invocations, parse_plan, read_plan
from fanwise_local.faults.rules import KINDS, Kill, OnlyOne

texts = st.text(min_size=1, max_size=8)
globs = st.one_of(st.sampled_from(["*", "PredictBatch", "Plan*", "0000??", "[a-"]), texts)
seconds = st.floats(0, 900)
counts = st.none() | st.integers(1, 9)
operations = st.sampled_from(["*", "head", "read", "write", "create", "list", "delete"])
matching = {
    "function": globs,
    "entry": st.none() | globs,
    "attempt": st.none() | st.integers(1, 5),
    "probability": st.floats(0, 1),
    "times": counts,
    "skip": st.integers(0, 5),
}
at_store = {"key": globs, "count": counts}
# What each fault needs, and what it may say.
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "throttle": ({}, {}),
    "error": ({"error": texts}, {}),
    "delay": ({"seconds": seconds}, {}),
    "drop_response": ({}, {}),
    "repeat_invocation": ({}, {}),
    "kill": ({}, {"when": st.sampled_from(["before work", "between part and commit", "after commit"])}),
    "exceed_memory": ({}, {}),
    "exceed_time": ({}, {"seconds": st.floats(0, 900, exclude_min=True)}),
    "repeat_response": ({}, {}),
    "write_late": ({"seconds": seconds}, {}),
    "store_error": ({}, {**at_store, "operation": operations, "error": st.just("unavailable")}),
    "slow_store": ({"seconds": seconds}, {**at_store, "operation": operations}),
    "truncate": ({}, at_store),
    "uncertain_create": ({"done": st.booleans()}, at_store),
}
rules = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda fault: st.fixed_dictionaries(
        {"fault": st.just(fault), **FIELDS[fault][0]}, optional={**matching, **FIELDS[fault][1]}
    )
)
plans = st.fixed_dictionaries(
    {}, optional={"seed": st.integers(0, MAX_SEED), "rules": st.lists(rules, max_size=6)}
)
coordinates = st.tuples(
    st.sampled_from(["PlanJob", "PredictBatch", "HandleFailure", "AggregateResults"]) | texts,
    st.none() | st.sampled_from(["000003", "probe"]) | texts,
    st.none() | st.integers(1, 4),
    st.integers(0, 9),
)


def parsed(*rules: dict[str, Any], seed: int = 0) -> FaultPlan:
    return parse_plan(json.dumps({"seed": seed, "rules": rules}).encode(), "plan.json")


def names(faults: Sequence[Any]) -> list[str]:
    return [msgspec.to_builtins(fault)["fault"] for fault in faults]


# The file.


def test_every_fault_is_tried_here() -> None:
    assert FIELDS.keys() == KINDS.keys()


@given(plans)
def test_a_plan_that_is_written_is_read_as_the_same(values: dict[str, Any]) -> None:
    plan = parse_plan(json.dumps(values).encode(), "plan.json")
    assert parse_plan(plan.to_json(), "again.json") == plan
    assert len(plan.describe().splitlines()) == 1 + len(plan.rules)
    for rule, given_rule in zip(plan.rules, values.get("rules", ()), strict=True):
        said = msgspec.to_builtins(rule)
        assert said == {name: value for name, value in given_rule.items() if name in said}
        assert all(getattr(rule, name) == value for name, value in given_rule.items() if name != "fault")


def test_what_nothing_says_is_the_default() -> None:
    (kill,) = parsed({"fault": "kill"}).rules
    assert kill == Kill(
        function="*", entry=None, attempt=None, probability=1, times=1, skip=0, when="before work"
    )
    assert parse_plan(b"{}", "plan.json") == FaultPlan(seed=0, rules=())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "plan.json: a fault plan is one JSON object"),
        ('{"seed": -1}', 'plan.json: plan.seed: expected "int" >= 0'),
        ('{"seed": 1e400}', 'plan.json: plan.seed: expected "int"'),
        ('{"sede": 1}', 'plan.json: plan: object contains unknown field "sede"; there are: seed, rules'),
        ('{"rules": {}}', "plan.json: rules: expected a list of rules"),
        ('{"rules": [7]}', "plan.json: rules[0]: a rule is an object"),
        (
            '{"rules": [{"fault": "kill"}, {}]}',
            "plan.json: rules[1].fault: is missing; there are: throttle, ",
        ),
        (
            '{"rules": [{"fault": "kil"}]}',
            'plan.json: rules[0].fault: "kil" is no fault; there are: throttle, ',
        ),
        ('{"rules": [{"fault": ["kill"]}]}', 'plan.json: rules[0].fault: ["kill"] is no fault'),
        (
            '{"rules": [{"fault": "kill", "when": "now"}]}',
            "plan.json: rules[0] (kill).when: invalid enum value 'now'; there are: after commit, before work, ",
        ),
        (
            '{"rules": [{"fault": "slow_store", "seconds": 1, "operation": "get"}]}',
            "plan.json: rules[0] (slow_store).operation: invalid enum value 'get'; there are: *, create, ",
        ),
        (
            '{"rules": [{"fault": "throttle", "seconds": 1}]}',
            'plan.json: rules[0] (throttle): object contains unknown field "seconds"; there are: function, ',
        ),
        ('{"rules": [{"fault": "delay"}]}', 'rules[0] (delay): object missing required field "seconds"'),
        (
            '{"rules": [{"fault": "delay", "seconds": 901}]}',
            'rules[0] (delay).seconds: expected "float" <= 900',
        ),
        ('{"rules": [{"fault": "delay", "seconds": NaN}]}', "plan.json: NaN is not JSON; write a number"),
        (
            '{"rules": [{"fault": "exceed_time", "seconds": 0}]}',
            '(exceed_time).seconds: expected "float" > 0',
        ),
        ('{"rules": [{"fault": "kill", "probability": 2}]}', '(kill).probability: expected "float" <= 1'),
        ('{"rules": [{"fault": "kill", "times": 0}]}', '(kill).times: expected "int" >= 1'),
        ('{"rules": [{"fault": "kill", "attempt": 0}]}', '(kill).attempt: expected "int" >= 1'),
        ('{"rules": [{"fault": "kill", "skip": -1}]}', '(kill).skip: expected "int" >= 0'),
        ('{"rules": [{"fault": "kill", "function": ""}]}', '(kill).function: expected "str" of length >= 1'),
        (
            '{"rules": [{"fault": "store_error", "operation": "read", "error": "disk full"}]}',
            'rules[0] (store_error): a disk that is full does not mind "read"; use "write" or "create"',
        ),
        (
            '{"rules": [{"fault": "kill", "skip": 1, "skip": 2}]}',
            'plan.json: "skip" stands there twice in one object; keep one',
        ),
        ('{\n "seed": 1,,}', "plan.json, line 2, column 12: not JSON: "),
        ("[" * 100_000, "plan.json: not a fault plan: "),
        ('{"seed": ' + "1" * 5000 + "}", "plan.json: not a fault plan: "),
        ('{"se\\ned": 1}', 'plan.json: plan: object contains unknown field "se ed"'),
        (" " * (1024 * 1024 + 1), "plan.json: over 1,048,576 bytes"),
    ],
)
def test_a_plan_that_is_wrong_is_refused_in_one_line_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_plan(text.encode(), "plan.json")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_is_no_plan_is_refused(data: bytes) -> None:
    try:
        parse_plan(data, "plan.json")
    except InputError as error:
        assert str(error).startswith("plan.json")


def test_a_plan_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"none\.json: No such file or directory; --faults wants a fault plan"
    ):
        read_plan(tmp_path / "none.json")
    (tmp_path / "plan.json").write_bytes(b'\xef\xbb\xbf{"seed": 5}')
    assert read_plan(tmp_path / "plan.json").seed == 5


def test_a_function_that_is_not_there_is_named() -> None:
    plan = parsed(
        {"fault": "kill", "function": "Plan*", "entry": "[7]"}, {"fault": "kill", "function": "Pretty"}
    )
    with pytest.raises(
        InputError, match=r'p: rules\[1\]\.function: .* "Pretty" \(there are: PlanJob, Predict'
    ):
        plan.check_functions(["PredictBatch", "PlanJob"], "p")
    plan.check_functions(["PlanJob", "Pretty"], "p")


# Whom it befalls.


@given(plans, coordinates)
def test_what_befalls_an_invocation_follows_from_the_plan_and_its_coordinates(
    values: dict[str, Any], at: tuple[str, str | None, int | None, int]
) -> None:
    plan = parse_plan(json.dumps(values).encode(), "plan.json")
    faults = plan.faults_of(*at)
    assert parse_plan(plan.to_json(), "again.json").faults_of(*at) == faults
    assert sum(isinstance(fault, OnlyOne) for fault in faults) <= 1
    assert all(rule.matches(*at) for rule in faults)
    certain = [rule for rule in plan.rules if rule.matches(*at) and rule.probability == 1]
    assert all(rule in faults or isinstance(rule, OnlyOne) for rule in certain)
    assert not any(rule.probability == 0 for rule in faults)


@pytest.mark.parametrize(
    ("rule", "befallen"),
    [
        ({}, [0]),
        ({"times": 3}, [0, 1, 2]),
        ({"times": 2, "skip": 3}, [3, 4]),
        ({"times": None, "skip": 4}, [4, 5, 6, 7]),
    ],
)
def test_the_first_so_many_of_the_same_coordinates(rule: dict[str, Any], befallen: list[int]) -> None:
    plan = parsed({"fault": "throttle", **rule})
    assert [n for n in range(8) if plan.faults_of("PredictBatch", "000001", 1, n)] == befallen


def test_globs_and_attempts_say_whom() -> None:
    plan = parsed(
        {"fault": "slow_store", "seconds": 1, "function": "P*"},
        {"fault": "truncate", "entry": "000003*"},
        {"fault": "delay", "seconds": 1, "attempt": 2},
    )
    assert names(plan.faults_of("PlanJob", None, None, 0)) == ["slow_store"]
    assert names(plan.faults_of("HandleFailure", "000003-1", 1, 0)) == ["truncate"]
    assert names(plan.faults_of("PredictBatch", "000003", 2, 0)) == ["slow_store", "truncate", "delay"]
    assert names(plan.faults_of("AggregateResults", None, None, 0)) == []


def test_of_what_is_deadly_or_changes_the_answer_the_first_rule_wins_and_the_rest_adds_up() -> None:
    plan = parsed(
        {"fault": "delay", "seconds": 1},
        {"fault": "throttle", "skip": 1},
        {"fault": "kill", "times": 2},
        {"fault": "drop_response", "times": 3},
        {"fault": "delay", "seconds": 2, "times": None},
    )
    assert [names(plan.faults_of("F", None, None, n)) for n in range(4)] == [
        ["delay", "kill", "delay"],
        ["throttle", "delay"],
        ["drop_response", "delay"],
        ["delay"],
    ]


def test_a_probability_is_met_and_its_draws_belong_to_seed_rule_and_invocation() -> None:
    rule = {"fault": "delay", "seconds": 1, "probability": 0.25, "times": None}

    def struck(plan: FaultPlan, place: int) -> list[bool]:
        """For 2,000 entries, whether the rule at that place struck."""
        found = [plan.faults_of("PredictBatch", f"{n:06}", 1, 0) for n in range(2000)]
        return [plan.rules[place] in faults for faults in found]

    first = parsed(rule, {**rule, "seconds": 2}, seed=1)
    assert 420 < sum(struck(first, 0)) < 580  # four standard deviations
    assert struck(first, 0) != struck(first, 1)
    assert struck(first, 0) != struck(parsed(rule, seed=2), 0)
    assert struck(first, 0) == struck(parsed(rule, seed=1), 0)
    numbers = [bool(first.faults_of("PredictBatch", "000001", 1, n)) for n in range(50)]
    assert len(set(numbers)) == 2


# Whose coordinates an event has.


def test_invocations_are_numbered_by_function_entry_and_attempt() -> None:
    invocations = Invocations()
    one = {"job_id": "j", "entry": {"entry": "000001", "attempt": 1}}
    assert [tuple(invocations.next("PredictBatch", one)) for _ in range(2)] == [
        ("PredictBatch", "000001", 1, 0),
        ("PredictBatch", "000001", 1, 1),
    ]
    again = {"job_id": "j", "entry": {"entry": "000001", "attempt": 2}}
    assert invocations.next("PredictBatch", again).number == 0
    assert invocations.next("HandleFailure", one).number == 0
    assert invocations.next("PredictBatch", one).number == 2


@pytest.mark.parametrize(
    ("function", "payload", "entry", "attempt"),
    [
        ("PredictBatch", {"probe": {"entry": "probe", "attempt": 1}}, "probe", 1),
        ("PredictBatch", {"load_only": True}, None, None),
        ("AggregateResults", {"round": 0, "probe": {"entry": "probe", "attempt": 1}}, None, None),
        ("PlanJob", {"start": {}}, None, None),
        ("Anything", ["no", "object"], None, None),
        ("Anything", {"entry": "text"}, None, None),
        ("Anything", {"entry": {"entry": 7}}, None, None),
        ("Anything", {"entry": {"entry": "seven"}}, "seven", None),
    ],
)
def test_an_entry_is_what_an_event_says_it_is(
    function: str, payload: Any, entry: str | None, attempt: int | None
) -> None:
    assert Invocations().next(function, payload) == (function, entry, attempt, 0)


# The page about it.


def test_the_page_has_a_plan_that_is_right_and_tells_every_fault() -> None:
    page = (Path(__file__).parents[3] / "docs/faults.md").read_text(encoding="utf-8")
    example = page.split("`plan.json`:\n```\n")[1].split("```")[0]
    assert names(parse_plan(example.encode(), "docs/faults.md").rules) == [
        "throttle",
        "kill",
        "truncate",
        "drop_response",
    ]
    for name, kind in KINDS.items():
        (row,) = (line for line in page.splitlines() if line.startswith((f"| `{name}`", f"| ● `{name}`")))
        assert row.startswith("| ●") is (kind in get_args(OnlyOne))
