"""`fanwise demo`: the digits example, end to end, on this machine.

Trains a small model (once), then runs the pipeline over scans that it has not seen, and compares what came out
with the true labels that each item carried through.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from fanwise.errors import FanwiseError, InputError
from fanwise_cli.run import HowToRun, RunOptions, run
from fanwise_cli.terminal import JobConsole
from fanwise_cli.verify import VerifyOptions, verify
from fanwise_local.template import stack_root

EXAMPLE = "examples/digits/train.py"
RECOMPUTED = 20  # items that are predicted again alone, on TensorFlow
_IN_WHEEL = Path(__file__).parent / EXAMPLE


class _Score(msgspec.Struct):
    label: str


class _Prediction(msgspec.Struct):
    scores: list[_Score]


class _Carried(msgspec.Struct):
    label: int


class _Line(msgspec.Struct):
    prediction: _Prediction
    item: _Carried


def accuracy(lines: Iterable[bytes]) -> float:
    """The share of predictions whose best label is the one that the item carried, 0 to 1."""
    decoder = msgspec.json.Decoder(_Line)
    decoded = [decoder.decode(line) for line in lines]
    right = sum(line.prediction.scores[0].label == str(line.item.label) for line in decoded)
    return right / len(decoded) if decoded else 0.0


def run_demo(folder: Path, *, as_json: bool, console: JobConsole) -> int:
    """Train if need be, run, and print accuracy, throughput and where the results are; answers the exit code."""
    data, out = folder / "data", folder / "out"
    if not (data / "items.jsonl").exists():
        _train(data, console)
    options = RunOptions(
        items=data / "items.jsonl",
        model=data / "model",
        out=out,
        again=(out / "summary.json").exists(),  # one that was interrupted goes on
        how=HowToRun(as_json=as_json),
    )
    words = ["fanwise", "run", str(options.items), "--model", str(options.model), "--out", str(out)]
    console.tell(f"$ {shlex.join(words)}", "dim")
    exit_code = run(options, console=console, further=lambda: _further(out)).exit_code
    if exit_code or as_json:
        return exit_code
    console.tell(f"$ {shlex.join(['fanwise', 'verify', str(out), '--recompute', str(RECOMPUTED)])}", "dim")
    return verify(VerifyOptions(str(out), recompute=RECOMPUTED), console=console)


def _further(out: Path) -> dict[str, str]:
    with (out / "predictions.jsonl").open("rb") as lines:
        return {"accuracy": f"{100 * accuracy(lines):.2f} % on scans that the model has not seen"}


def _train(data: Path, console: JobConsole) -> None:
    """Run the example's training in a process of its own: TensorFlow stays out of the command's."""
    if find_spec("sklearn") is None:
        raise InputError("the demo needs scikit-learn: pip install 'fanwise[demo]'")
    console.tell("Training a small Keras CNN on scikit-learn's handwritten digits (once) …")
    example = next(path for path in (_IN_WHEEL, stack_root() / EXAMPLE) if path.exists())
    done = subprocess.run(  # noqa: S603 - our own example
        [sys.executable, str(example), str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FanwiseError(f"{example.name} ended with status {done.returncode}: {last}")
