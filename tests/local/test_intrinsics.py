"""CloudFormation's YAML and its intrinsic functions: what they give, and what is refused, with its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise_local.intrinsics import NO_VALUE, Resolver, TemplateError, as_text, load_template

REFERENCES = {
    "Stage": "prod",
    "Count": "3",
    "Bucket": "the-bucket",
    "AWS::Region": "us-east-1",
    "AWS::Partition": "aws",
}
ATTRIBUTES = {("Bucket", "Arn"): "arn:aws:s3:::the-bucket", ("Nested", "Outputs.Url"): "https://x"}
MAPPINGS = {"Sizes": {"prod": {"memory": 1769, "names": ["a", "b"]}}}
CONDITIONS = {
    "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
    "IsThree": {"Fn::Equals": [{"Ref": "Count"}, 3]},
    "Both": {"Fn::And": [{"Condition": "IsProd"}, {"Condition": "IsThree"}]},
    "Either": {"Fn::Or": [{"Condition": "NotProd"}, {"Fn::Equals": ["a", "b"]}]},
    "NotProd": {"Fn::Not": [{"Condition": "IsProd"}]},
    "Circle": {"Fn::Not": [{"Condition": "Circle"}]},
    "Text": "true",
}


def resolver() -> Resolver:
    return Resolver(
        "template.yaml",
        REFERENCES.__getitem__,
        lambda name, attribute: ATTRIBUTES[name, attribute],
        MAPPINGS,
        CONDITIONS,
    )


def resolved(yaml_text: str) -> Any:
    """The value of a property, from its YAML."""
    lines = "".join(f"  {line}\n" for line in yaml_text.splitlines())
    template = load_template(f"Resources:\n  {{}}\nX:\n{lines}", "template.yaml")
    return resolver().value(template["X"], "X")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Stage", "prod"),
        ("Ref: Stage", "prod"),
        ('!Ref "AWS::Region"', "us-east-1"),
        ("!GetAtt Bucket.Arn", "arn:aws:s3:::the-bucket"),
        ("!GetAtt [Bucket, Arn]", "arn:aws:s3:::the-bucket"),
        ("Fn::GetAtt: [Bucket, Arn]", "arn:aws:s3:::the-bucket"),
        ("Fn::GetAtt: Bucket.Arn", "arn:aws:s3:::the-bucket"),
        ("!GetAtt Nested.Outputs.Url", "https://x"),
        ('!Sub "${Stage}-${AWS::Region}"', "prod-us-east-1"),
        ('!Sub "${Bucket.Arn}/*"', "arn:aws:s3:::the-bucket/*"),
        ('!Sub "${!Stage} is ${Stage}"', "${Stage} is prod"),
        ('!Sub ["${x}-${Stage}", {x: !Ref Count}]', "3-prod"),
        ('!Sub ["${Stage}", {Stage: true}]', "true"),
        ('!Sub "no reference"', "no reference"),
        ('!Join ["-", [a, !Ref Stage, 3]]', "a-prod-3"),
        ('!Join ["", []]', ""),
        ('!Join ["-", [a, !Ref "AWS::NoValue", b]]', "a-b"),
        ('!Join ["/", !Split [":", "a:b"]]', "a/b"),
        ("!Select [1, [a, b]]", "b"),
        ('!Select ["0", !Split [",", "a,b"]]', "a"),
        ('!Split [",", "a,,b"]', ["a", "", "b"]),
        ("!FindInMap [Sizes, !Ref Stage, memory]", 1769),
        ("!FindInMap [Sizes, prod, names]", ["a", "b"]),
        ("!If [IsProd, yes-it-is, no]", "yes-it-is"),
        ("!If [NotProd, !ImportValue never-looked-at, other]", "other"),
        ("!If [Both, 1, 2]", 1),
        ("!If [Either, 1, 2]", 2),
        ('{a: !If [NotProd, 1, !Ref "AWS::NoValue"], b: 2}', {"b": 2}),
        ('[1, !Ref "AWS::NoValue", 2]', [1, 2]),
        ("{Condition: {StringEquals: {a: b}}}", {"Condition": {"StringEquals": {"a": "b"}}}),  # a policy's
        ("{deep: [{x: !Ref Stage}]}", {"deep": [{"x": "prod"}]}),
        ("2010-09-09", "2010-09-09"),
    ],
)
def test_a_function_gives(text: str, value: Any) -> None:
    assert resolved(text) == value


def test_no_value_at_the_top_is_told_from_every_value() -> None:
    assert resolved('!Ref "AWS::NoValue"') is NO_VALUE
    assert resolved('!If [NotProd, 1, !Ref "AWS::NoValue"]') is NO_VALUE


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("!Ref Nobody", "X.Ref", "there is no parameter or resource 'Nobody'"),
        ("!Ref [a]", "X.Ref", "there is no parameter or resource"),
        ("{a: {b: !ImportValue x}}", "X.a.b", "Fn::ImportValue is not supported on this machine"),
        ("[1, !GetAZs eu]", "X[1]", "Fn::GetAZs is not supported on this machine"),
        ("Fn::Transform: {Name: AWS::Include}", "X", "Fn::Transform is not supported on this machine"),
        ("!GetAtt Bucket.Color", "X.Fn::GetAtt", "Bucket.Color is not known on this machine"),
        ("!GetAtt Bucket", "X.Fn::GetAtt", "needs [resource, attribute]"),
        ('!Sub "${Nobody}"', "X.Fn::Sub.Ref", "there is no parameter or resource 'Nobody'"),
        ('!Sub "${Nobody.Arn}"', "X.Fn::Sub.Fn::GetAtt", "Nobody.Arn is not known"),
        ('!Sub "${AWS::NoValue}"', "X.Fn::Sub", "is nothing, where text is needed"),
        ('!Sub ["${x}", {x: [1]}]', "X.Fn::Sub.x", "is [1], where text is needed"),
        ("!Sub [a]", "X.Fn::Sub", "needs [text, variables]"),
        ("!Sub [[a], {}]", "X.Fn::Sub", "needs a text, or [text, {variable: value}]"),
        ('!Join ["-"]', "X.Fn::Join", "needs [delimiter, values]"),
        ('!Join ["-", abc]', "X.Fn::Join", "is 'abc', where a list is needed"),
        ('!Join ["-", [[a]]]', "X.Fn::Join", "is ['a'], where text is needed"),
        ("!Select [2, [a, b]]", "X.Fn::Select", "there is no element 2 of 2"),
        ("!Select [-1, [a, b]]", "X.Fn::Select", "there is no element -1 of 2"),
        ("!Select [x, [a, b]]", "X.Fn::Select", "there is no element x of 2"),
        ('!Split ["", "ab"]', "X.Fn::Split", "cannot split at ''"),
        ("!FindInMap [Sizes, prod, color]", "X.Fn::FindInMap", "Mappings.Sizes.prod.color does not exist"),
        ("!FindInMap [Sizes, test, memory]", "X.Fn::FindInMap", "Mappings.Sizes.test.memory does not exist"),
        ("!If [Nothing, 1, 2]", "X.Fn::If", "there is no condition 'Nothing'"),
        ("!If [IsProd, 1]", "X.Fn::If", "needs [condition, then, else]"),
        ("!If [Circle, 1, 2]", "Conditions.Circle", "refers to itself"),
        ("!If [Text, 1, 2]", "Conditions.Text", "is 'true', neither true nor false"),
        ("!Equals [a]", "X.Fn::Equals", "needs [one, other]"),
        ("!And [!Equals [a, a]]", "X.Fn::And", "needs a list of 2 to 10 conditions"),
        ("!Not [[a]]", "X.Fn::Not[0]", "neither true nor false"),
    ],
)
def test_what_is_not_known_or_malformed_is_refused_with_its_place(text: str, path: str, message: str) -> None:
    with pytest.raises(TemplateError) as raised:
        resolved(text)
    assert str(raised.value).startswith(f"template.yaml: {path}: ")
    assert message in str(raised.value)


def test_yaml_that_is_none_is_refused_with_line_and_column() -> None:
    with pytest.raises(TemplateError, match=r"template.yaml: .*line 2, column"):
        load_template("Resources:\n  a: ]\n", "template.yaml")


@pytest.mark.parametrize("text", ["", "- 1", "Resources: []", "a: 1"])
def test_a_file_without_resources_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="has no Resources; is it a CloudFormation template"):
        load_template(text, "template.yaml")


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (1769, "1769"), ("a", "a"), (0.5, "0.5")]
)
def test_a_scalar_is_written_as_cloudformation_writes_it(value: Any, text: str) -> None:
    assert as_text(value) == text


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("Fn::") and key != "Ref"), inner)
    ),
)


@given(node=plain)
def test_what_holds_no_function_is_itself(node: Any) -> None:
    assert resolver().value(node, "X") == node


@given(
    text=st.text(st.characters(exclude_characters="${}")), parts=st.lists(st.sampled_from(["Stage", "Count"]))
)
def test_sub_replaces_every_reference_and_nothing_else(text: str, parts: list[str]) -> None:
    pattern = text + "".join(f"${{{name}}}{text}" for name in parts)
    assert resolver().value({"Fn::Sub": pattern}, "X") == text + "".join(REFERENCES[n] + text for n in parts)


@given(values=st.lists(st.text(st.characters(exclude_characters=",")), min_size=1))
def test_split_undoes_join(values: list[str]) -> None:
    joined = {"Fn::Join": [",", values]}
    assert resolver().value({"Fn::Split": [",", joined]}, "X") == values
