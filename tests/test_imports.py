"""The import rules: stages do not know each other, and nothing heavy is imported by what does not use it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fanwise
import fanwise_cli

PACKAGE = Path(fanwise.__file__).parent
STAGES = {"planning", "prediction", "failures", "aggregation"}
SHARED = {"items", "model"}
ABOVE = {"reckoning": {"model"}}  # shared too, and what of the shared it may know
BOTTOM = {
    "commits",
    "contents",
    "digests",
    "durable",
    "errors",
    "file_kinds",
    "json_text",
    "limits",
    "pricing",
    "recomputation",
    "records",
    "redaction",
    "replays",
    "settings",
    "storage",
}
OF_HANDLERS = {"telemetry"}  # which stages know nothing of


def imported_by(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def area_of(module: str) -> str:
    """`fanwise.items.lines.cut` → `items`."""
    parts = module.split(".")
    return parts[1] if parts[0] == "fanwise" and len(parts) > 1 else ""


def modules(area: str) -> list[Path]:
    folder = PACKAGE / area
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{area}.py"]


def test_every_module_has_its_place() -> None:
    areas = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert areas - {"__init__", "__pycache__"} == STAGES | SHARED | set(ABOVE) | BOTTOM | OF_HANDLERS


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_do_not_import_each_other(stage: str) -> None:
    for path in modules(stage):
        areas = {area_of(name) for name in imported_by(path)}
        assert not areas & (STAGES - {stage} | OF_HANDLERS), path


@pytest.mark.parametrize("area", sorted(SHARED))
def test_items_and_model_import_only_what_lies_below(area: str) -> None:
    for path in modules(area):
        areas = {area_of(name) for name in imported_by(path)} - {""}
        assert areas <= BOTTOM | {area}, path


@pytest.mark.parametrize("area", sorted(ABOVE))
def test_what_lies_above_the_shared_imports_what_it_may(area: str) -> None:
    for path in modules(area):
        assert {area_of(name) for name in imported_by(path)} - {""} <= BOTTOM | ABOVE[area] | {area}, path


@pytest.mark.parametrize("area", sorted(BOTTOM | OF_HANDLERS))
def test_the_bottom_imports_only_the_bottom(area: str) -> None:
    for path in modules(area):
        assert {area_of(name) for name in imported_by(path)} - {""} <= BOTTOM, path


def test_what_runs_inside_a_lambda_imports_neither_boto3_nor_multiprocessing_nor_the_laptop() -> None:
    forbidden = {
        "boto3",
        "botocore",
        "multiprocessing",
        "fanwise_cli",
        "fanwise_local",
        "keras",
        "awslambdaric",
    }
    for path in PACKAGE.rglob("*.py"):
        assert not {name.split(".")[0] for name in imported_by(path)} & forbidden, path


def test_heavy_libraries_have_one_door() -> None:
    doors = {
        "ai_edge_litert": {"litert_runtime.py"},
        "tensorflow": {"tensorflow_runtime.py"},
        "PIL": {"images.py"},
        "simplejpeg": {"images.py"},
        "aws_lambda_powertools": {"telemetry.py"},
    }
    for path in PACKAGE.rglob("*.py"):
        for library in {name.split(".")[0] for name in imported_by(path)} & doors.keys():
            assert path.name in doors[library], path


def test_the_command_knows_boto3_only_where_a_stack_is_worked_with() -> None:
    cli = Path(fanwise_cli.__file__).parent
    for path in cli.rglob("*.py"):
        if path.parent != cli / "stack":
            assert not {name.split(".")[0] for name in imported_by(path)} & {"boto3", "botocore"}, path


def test_the_command_knows_matplotlib_only_where_pictures_are_drawn() -> None:
    for path in Path(fanwise_cli.__file__).parent.rglob("*.py"):
        if path.name != "pictures.py":
            imported = {name.split(".")[0] for name in imported_by(path)}
            assert not imported & {"matplotlib", "cycler"}, path


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("fanwise.planning", ["tensorflow", "numpy", "PIL", "boto3", "multiprocessing"]),
        ("fanwise.failures", ["tensorflow", "numpy", "PIL", "boto3", "multiprocessing"]),
        ("fanwise.aggregation", ["tensorflow", "numpy", "PIL", "boto3", "multiprocessing"]),
        (
            "fanwise.prediction.batch",
            ["tensorflow", "ai_edge_litert", "keras", "PIL", "boto3", "multiprocessing"],
        ),
        ("fanwise.model.litert_runtime", ["tensorflow", "keras", "PIL", "boto3", "multiprocessing"]),
        ("fanwise.telemetry", ["boto3", "botocore.session", "aws_xray_sdk", "tensorflow", "numpy"]),
        (
            "fanwise_cli.main",
            ["tensorflow", "ai_edge_litert", "keras", "PIL", "boto3", "botocore", "numpy", "matplotlib"],
        ),
        ("fanwise_cli.stack.submit", ["tensorflow", "keras", "PIL", "boto3", "botocore"]),
        ("fanwise_cli.run", ["fanwise_local.faults", "moto", "boto3", "matplotlib"]),  # without a fault plan
        ("fanwise_cli.up", ["moto", "boto3", "tensorflow"]),
        ("fanwise_local.doors.endpoint", ["moto", "boto3", "flask"]),  # before one is opened
        ("fanwise_local.bootstrap", ["fanwise_local.faults", "aiohttp"]),
    ],
)
def test_a_fresh_process_loads_only_what_it_uses(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
