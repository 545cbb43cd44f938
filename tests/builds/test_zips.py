"""Sizes are counted as Lambda does, and held under its limit."""

from pathlib import Path

import pytest

from builds import zips
from builds.lambda_process import BuildError
from builds.zips import Size
from fanwise_local.template import read_stack

MB = 2**20


def test_a_function_that_fits_with_its_layers_is_fine_and_one_byte_more_is_not() -> None:
    fits = Size("F", own_bytes=50 * MB, layers_bytes={"A": 100 * MB, "B": 100 * MB})
    zips.check_sizes([fits])
    too_large = Size("G", own_bytes=50 * MB + 1, layers_bytes=fits.layers_bytes)
    with pytest.raises(BuildError, match=r"^G has 250\.0 MB unzipped with its layers; Lambda takes at"):
        zips.check_sizes([fits, too_large])


def test_the_table_has_a_line_for_each_function() -> None:
    found = [Size("PlanJobFunction", MB // 2, {"CoreLayer": 22 * MB}), Size("Other", 0, {})]
    first, second = zips.table(found).splitlines()
    assert first.split() == ["PlanJobFunction", "22.5", "MB", "=", "0.5", "+", "CoreLayer", "22.0"]
    assert second.split()[:2] == ["Other", "0.0"]


def test_sizes_are_of_the_stack_that_sam_wrote(tmp_path: Path) -> None:
    (tmp_path / "Function").mkdir()
    (tmp_path / "Function/handler.py").write_bytes(b"x" * 100)
    (tmp_path / "Layer/python/inner").mkdir(parents=True)
    (tmp_path / "Layer/python/inner/a.so").write_bytes(b"x" * 1000)
    (tmp_path / "machine.json").write_text("{}")
    (tmp_path / "template.yaml").write_text(
        """
Parameters:
  PredictBatchImageUri: {Type: String, Default: ""}
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: makefile}
    Properties: {ContentUri: Layer}
  Function:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: Function, Handler: handler.f, Runtime: python3.12, Layers: [!Ref Layer]}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: machine.json}
"""
    )
    stack = read_stack(tmp_path, parameters=zips.WITHOUT_IMAGE)
    assert zips.sizes(stack) == [Size("Function", 100, {"Layer": 1000})]
    built = zips.built(stack.functions["Function"], "python3.12")
    assert [path.relative_to(tmp_path) for path in built.path] == [Path("Function"), Path("Layer/python")]
