"""A job of a few items over a model of one operation, for functions that were built."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builds.lambda_process import BuildError, Built
from fanwise_cli.bundles import prepare, publish
from fanwise_local.template import Stack

ITEMS = ({"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}, {"x": "no number"})
PREDICTED = ([2.0, 4.0], [6.0, 8.0])

_MAKE_MODEL = """
import sys, tensorflow as tf

class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x * 2.0}

model = Doubling()
tf.saved_model.save(model, sys.argv[1], signatures=model.__call__)
"""


class TinyJob:
    """Its buckets are folders, published model and items included."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        for bucket in stack.buckets.values():
            (folder / bucket).mkdir(parents=True)
        made = folder / "doubling"
        subprocess.run(
            [sys.executable, "-c", _MAKE_MODEL, str(made)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        prepared = prepare(made, folder / "cache")
        self._model = publish(prepared, folder / stack.buckets["ModelBucket"], "doubling", "1")
        lines = (json.dumps({"inputs": item}) for item in ITEMS)
        (folder / stack.buckets["InputBucket"] / "items.jsonl").write_text("\n".join(lines))

    @property
    def _mounts(self) -> Mapping[str, Any]:
        results = self._stack.buckets["ResultsBucket"]
        return {
            bucket: {"path": str(self._folder / bucket), "writable": bucket == results}
            for bucket in self._stack.buckets.values()
        }

    async def run(self, plan: Built, predict: Built, aggregate: Built, runtime: Path, *, on: str) -> None:
        """Plan, predict on a runtime, aggregate, each in a process of its own. Raises `BuildError`."""
        items = f"s3://{self._stack.buckets['InputBucket']}/items.jsonl"
        manifest = {"items": items, "model": self._model, "runtime": on}
        event = {
            "execution": f"arn:aws:states:us-east-1:123456789012:execution:built:{on}",
            "started_at": "2026-11-24T10:00:00.000Z",
            "start": {"manifest": manifest},
        }
        round_ = await plan.answer(event, runtime, self._mounts)
        results = self._folder / self._stack.buckets["ResultsBucket"]
        for line in (results / round_["work_key"]).read_text().splitlines():
            event = {"job_id": round_["job_id"], "entry": json.loads(line)}
            await predict.answer(event, runtime, self._mounts)
        ended = await aggregate.answer(round_, runtime, self._mounts)
        _check(ended["summary"], predictions(results / "jobs" / round_["job_id"]), predict.name)


def predictions(home: Path) -> list[Any]:
    """What a job predicted, in the items' order."""
    lines = [
        json.loads(line) for part in home.glob("predictions/*") for line in part.read_text().splitlines()
    ]
    return [line["prediction"]["y"] for line in sorted(lines, key=lambda line: line["index"])]


def _check(summary: Mapping[str, Any], predicted: Sequence[Any], name: str) -> None:
    counts = {key: summary["items"][key] for key in ("predicted", "dead_lettered", "missing")}
    expected = {"predicted": len(PREDICTED), "dead_lettered": len(ITEMS) - len(PREDICTED), "missing": 0}
    if counts != expected or list(predicted) != list(PREDICTED):
        raise BuildError(f"{name} made {counts} and {predicted} of {ITEMS}, not {expected} and {PREDICTED}")
