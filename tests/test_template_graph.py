"""The template's resources can be made in some order, whatever the conditions are; what checks it finds faults."""

from typing import Any

import pytest

from fanwise_local.intrinsics import load_template
from fanwise_local.template import stack_root
from template_graph import GraphError, check, under_every_condition

TEMPLATE = load_template((stack_root() / "template.yaml").read_text(), "template.yaml")


def test_the_template_as_it_stands_has_no_cycle_and_names_only_what_there_is() -> None:
    seen = 0
    for _, template in under_every_condition(TEMPLATE):
        check(template)
        seen += 1
    assert seen == 2 ** len(TEMPLATE["Conditions"])


QUEUE = {"Type": "AWS::SQS::Queue"}


def of(resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"Parameters": {"P": {"Type": "String"}}, "Resources": resources, **sections}


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "A"},
        {"Fn::GetAtt": "A.Arn"},
        {"Fn::GetAtt": ["A", "Arn"]},
        {"Fn::Sub": "x-${A.Arn}"},
        {"Fn::Sub": ["${it}-${!A}", {"it": {"Ref": "A"}}]},
        {"Fn::Join": ["", [{"Ref": "P"}, {"deep": {"Ref": "A"}}]]},
    ],
)
def test_resources_that_wait_for_each_other_are_found(value: Any) -> None:
    resources = {
        "A": {**QUEUE, "DependsOn": "B"},
        "B": {**QUEUE, "DependsOn": ["C"]},
        "C": {"Properties": {"x": value}},
    }
    with pytest.raises(GraphError, match=r"^wait for each other: A → B → C → A$"):
        check(of(resources))
    check(of(resources | {"C": QUEUE}))


@pytest.mark.parametrize("value", [{"Ref": "AWS::Region"}, {"Fn::Sub": "${AWS::Region}-${!B}-${P}"}, "Ref"])
def test_what_is_no_resource_makes_no_cycle(value: Any) -> None:
    check(of({"A": {"Properties": {"x": value}}}))


def test_what_a_condition_leaves_out_may_not_be_named_by_what_stays() -> None:
    chosen: dict[str, Any] = {"Fn::If": ["On", {"Ref": "B"}, {"Ref": "AWS::NoValue"}]}
    resources: dict[str, Any] = {
        "A": {"Properties": {"x": [chosen], "y": chosen}},
        "B": {**QUEUE, "Condition": "On"},
    }
    template = of(resources, Conditions={"On": {}}, Outputs={"O": {"Condition": "On", "Value": {"Ref": "B"}}})
    without, with_it = (made for _, made in under_every_condition(template))
    assert without["Resources"] == {"A": {"Properties": {"x": []}}}
    assert with_it["Resources"]["A"] == {"Properties": {"x": [{"Ref": "B"}], "y": {"Ref": "B"}}}
    check(without)
    check(with_it)
    broken = of({**resources, "A": {"Properties": {"x": {"Ref": "B"}}}}, Conditions={"On": {}})
    (_, without), _ = under_every_condition(broken)
    with pytest.raises(GraphError, match=r"^A names B, which there is not$"):
        check(without)
    outputs = of(resources, Conditions={"On": {}}, Outputs={"O": {"Value": {"Ref": "B"}}})
    (_, without), _ = under_every_condition(outputs)
    with pytest.raises(GraphError, match=r"^Outputs names B, which there is not$"):
        check(without)
