"""The models of the zoo and their bundles, made once for a run of the tests.

`python -m zoo.making models FOLDER` writes the models, `… bundles FOLDER` makes their bundles by the product's own
code. TensorFlow is imported once for all bundles: each is made in a fork of a process that has imported it and
computed nothing. What the product measures when it makes a bundle is left out.
"""

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from made_once import made_once
from zoo.entries import ZOO

MODULE = "zoo.making"
MODELS, PUBLISHED, CACHE, TOLD = "given", "models", "cache/bundles", "told"
CASES = Path(__file__).parents[1] / "cases"


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """given/NAME is what the product was given, models/ the published bundles, told/NAME.json what was said."""
    return made_once(tmp_path_factory, "zoo", _make_apart)


def _make_apart(folder: Path) -> None:
    for step in ("models", "bundles"):
        done = subprocess.run(
            [sys.executable, "-m", MODULE, step, str(folder)],
            env=os.environ
            | {
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_ENABLE_ONEDNN_OPTS": "1",
                "KERAS_BACKEND": "tensorflow",
                "CUDA_VISIBLE_DEVICES": "-1",
                "PYTHONHASHSEED": "0",
                "PYTHONWARNINGS": "ignore",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _make_models(folder: Path, names: Sequence[str]) -> None:
    from zoo.models import MAKERS

    assert set(MAKERS) == set(ZOO), set(MAKERS) ^ set(ZOO)
    (folder / MODELS).mkdir(parents=True)
    for name in names:
        model = folder / MODELS / name
        MAKERS[name](model)
        if (model / "saved_model.pb").exists():  # a bundle is a folder with it
            model.rename(folder / "saved_model")
            model.mkdir()
            (folder / "saved_model").rename(model / "saved_model")
        entry = ZOO[name]
        if entry.contract is not None:
            (model / "model.json").write_text(json.dumps(entry.contract))
        if entry.labels:
            (model / "labels.txt").write_text("\n".join(entry.labels))


def _make_bundles(folder: Path, names: Sequence[str]) -> None:
    from fanwise.model.runtime import import_runtime
    from fanwise_cli import bundles, prepare_bundle

    import_runtime("tensorflow")
    gc.freeze()  # what is never collected is not copied into each fork
    _replace(prepare_bundle, measure=_not_measured, measure_apart=_not_measured)
    _replace(bundles, run_apart=_run_here)
    (folder / TOLD).mkdir(exist_ok=True)
    (folder / PUBLISHED).mkdir(exist_ok=True)
    cases = sorted({path.parent for path in CASES.rglob("saved_model.pb")} | {*CASES.rglob("*.tflite")})
    work = [partial(_make_bundle_of_case, folder, case) for case in cases]
    work += [partial(_make_bundle, folder, name) for name in names]
    _in_forks(work, at_once=min(2, os.cpu_count() or 1))
    for name in names:
        told = folder / TOLD / f"{name}.json"
        if not told.exists():
            told.write_text(json.dumps({"died": True}))


def _make_bundle(folder: Path, name: str) -> None:
    from fanwise.errors import FanwiseError
    from fanwise_cli import bundles

    told: dict[str, Any]
    try:
        prepared = bundles.prepare(folder / MODELS / name, folder / CACHE)
        bundles.publish(prepared, folder / PUBLISHED, name, "1")
        digest = json.loads((prepared.folder / "digest.json").read_bytes())
        told = {"notes": prepared.notes, "runtimes": digest["runtimes"]}
    except FanwiseError as error:
        told = {"refused": str(error)}
    (folder / TOLD / f"{name}.json").write_text(json.dumps(told))


def _make_bundle_of_case(folder: Path, model: Path) -> None:
    """Into the cache alone, where the command finds it; what is refused, it refuses again."""
    from fanwise.errors import FanwiseError
    from fanwise_cli import bundles

    with suppress(FanwiseError):
        bundles.prepare(model, folder / CACHE)


def _replace(module: Any, **values: Any) -> None:
    for name, value in values.items():
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, value)


def _not_measured(*_: Any, **__: Any) -> None:
    return None


def _run_here(words: Sequence[str], *_: Any) -> Any:
    """In place of `run_apart`: a process of its own is there already."""
    from fanwise_cli import prepare_bundle
    from fanwise_cli.prepare_process import Ended

    return Ended(prepare_bundle.main(list(words)), "")


def _in_forks(works: Sequence[Callable[[], None]], at_once: int) -> None:
    running = 0
    for work in works:
        if running == at_once:
            os.wait()
            running -= 1
        _fork(work)
        running += 1
    for _ in range(running):
        os.wait()


def _fork(work: Callable[[], None]) -> None:
    if os.fork() == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)


if __name__ == "__main__":
    step, where, *only = sys.argv[1:]
    {"models": _make_models, "bundles": _make_bundles}[step](Path(where), only or list(ZOO))
