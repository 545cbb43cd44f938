"""The wheel: it carries all that `fanwise run` and `fanwise demo` need, and works away from the clone."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Folder or file of the clone → where the wheel has it.
CARRIED = {
    "layers/core/python/fanwise": "fanwise",
    "src/fanwise_cli": "fanwise_cli",
    "src/fanwise_local": "fanwise_local",
    "template.yaml": "fanwise_local/stack/template.yaml",
    "statemachine": "fanwise_local/stack/statemachine",
    "lambdas": "fanwise_local/stack/lambdas",
    "examples/digits": "fanwise_cli/examples/digits",
}


@dataclass(frozen=True)
class InstalledWheel:
    """The wheel in an environment of its own; what it depends on is that of the environment of the tests."""

    folder: Path
    site_packages: Path

    def run(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment (`python`, `fanwise`) as a person would: in `cwd`, no PYTHON… set."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.folder / "bin" / words[0], *words[1:]],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make wheel` builds it, in a temporary folder."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=600)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """The wheel installed without network, where the clone cannot be seen.

    A fresh environment, so that `bin/python` and every process that it starts see the wheel. Its dependencies are
    reached by a path file: that adds the site-packages of the tests to `sys.path`, but does not follow the path
    files in there, of which one is the editable install of the clone.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    places = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", vars=places))
    install = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-index",
    ]
    subprocess.run(
        [*install, "--no-deps", "--no-cache", "--python", str(folder / "bin/python"), str(wheel)],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in sorted(dependencies)))
    return InstalledWheel(folder, site_packages)


def carried_files() -> dict[str, Path]:
    """Name in the wheel → file of the clone."""
    files = {}
    for source, name in CARRIED.items():
        top = ROOT / source
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                files[(Path(name) / path.relative_to(top)).as_posix()] = path
    return files


def test_the_wheel_carries_packages_stack_and_example_and_nothing_else(wheel: Path) -> None:
    expected = carried_files()
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert found == expected.keys()
        differing = [name for name, path in expected.items() if archive.read(name) != path.read_bytes()]
    assert differing == []
    assert {
        "fanwise/records.py",
        "fanwise/py.typed",
        "fanwise_cli/main.py",
        "fanwise_cli/examples/digits/train.py",
        "fanwise_local/states/interpreter.py",
        "fanwise_local/stack/template.yaml",
        "fanwise_local/stack/statemachine/batch_inference.asl.json",
        "fanwise_local/stack/lambdas/predict_batch/handler.py",
    } <= found


def test_the_wheel_says_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        of_metadata = {
            Path(name).name: archive.read(name) for name in archive.namelist() if ".dist-info/" in name
        }
    assert of_metadata["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert b"fanwise = fanwise_cli.main:main" in of_metadata["entry_points.txt"]
    assert b"License-Expression: Apache-2.0" in of_metadata["METADATA"]


def test_what_is_imported_is_the_wheel(installed_wheel: InstalledWheel, tmp_path: Path) -> None:
    for package in ("fanwise", "fanwise_cli", "fanwise_local"):
        done = installed_wheel.run(
            "python", "-c", f"import {package}; print({package}.__file__)", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()) == installed_wheel.site_packages / package / "__init__.py"
    done = installed_wheel.run("python", "-c", "import sys; print(*sys.path, sep='\\n')", cwd=tmp_path)
    clone = [str(ROOT), str(ROOT / "src"), str(ROOT / "layers/core/python")]
    assert not set(clone) & set(done.stdout.splitlines())


def test_the_stack_is_found_in_the_wheel(installed_wheel: InstalledWheel, tmp_path: Path) -> None:
    code = "from fanwise_local.template import stack_root; print(stack_root())"
    done = installed_wheel.run("python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed_wheel.site_packages / "fanwise_local/stack"


@pytest.mark.parametrize("command", [("fanwise",), ("python", "-m", "fanwise_cli")])
def test_the_command_starts_in_an_empty_folder(
    command: tuple[str, ...], installed_wheel: InstalledWheel, tmp_path: Path
) -> None:
    done = installed_wheel.run(*command, "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fanwise 0.")
    done = installed_wheel.run(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_fanwise_run_works_in_an_empty_folder(
    installed_wheel: InstalledWheel, digits_example: Path, tmp_path: Path
) -> None:
    """A job over the wheel's own template, definition and handlers, with nothing of the clone in sight."""
    items = digits_example / "items.jsonl"
    words = ("run", items, "--model", digits_example / "model", "--out", "results", "--json")
    done = installed_wheel.run("fanwise", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    total = len(items.read_bytes().splitlines())
    assert summary["items"]["predicted"] == total
    lines = [json.loads(line) for line in (tmp_path / "results/predictions.jsonl").read_bytes().splitlines()]
    assert [line["index"] for line in lines] == list(range(total))
    right = sum(line["prediction"]["scores"][0]["label"] == str(line["item"]["label"]) for line in lines)
    assert right / total > 0.97
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_fanwise_run_uses_the_stack_of_the_wheel(
    installed_wheel: InstalledWheel, digits_example: Path, tmp_path: Path
) -> None:
    """The installed template and handler are changed, and that shows. The last test: the wheel stays changed."""
    stack = installed_wheel.site_packages / "fanwise_local/stack"
    template, handler = stack / "template.yaml", stack / "lambdas/predict_batch/handler.py"
    template.write_text(template.read_text().replace("Default: 1769", "Default: 1771"))
    with handler.open("a") as file:
        file.write('\nimport os\nprint("changed, MB:", os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])\n')
    (tmp_path / "items.jsonl").write_text('{"uri": "scan.png"}\n')
    shutil.copy(next((digits_example / "scans").iterdir()), tmp_path / "scan.png")
    words = ("run", "items.jsonl", "--model", digits_example / "model", "--out", "results")
    done = installed_wheel.run("fanwise", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "changed, MB: 1771" in (tmp_path / "results/.fanwise/logs/PredictBatchLiteRTFunction.log").read_text()
    )
