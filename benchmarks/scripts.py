"""The contenders that are programs of ours, by hand or with a peer: how one is run, and what it told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.comparison import Answer
from benchmarks.peers import run_peer
from benchmarks.processes import Finished, run_module
from benchmarks.rates import Ramp


class Told(msgspec.Struct, frozen=True):
    """What `told.tell` says; without `ended_s` the last item ends it."""

    ramps: tuple[tuple[float, float, int], ...]
    ended_s: float | None = None


def by_hand(module: str, folder: Path, **variables: str) -> Callable[[int, bool], Answer]:
    """A program in our own environment, `python -m module FOLDER COUNT SCORES`."""

    def answer(count: int, weighed: bool) -> Answer:
        return _answer(
            lambda *words: run_module(module, *words, variables=variables, weighed=weighed),
            module,
            folder,
            count,
        )

    return answer


def by_peer(module: str, folder: Path, **variables: str) -> Callable[[int, bool], Answer]:
    """The same in the peers' environment."""

    def answer(count: int, weighed: bool) -> Answer:
        return _answer(
            lambda *words: run_peer(module, *words, variables=variables, weighed=weighed),
            module,
            folder,
            count,
        )

    return answer


def _answer(run: Callable[..., Finished], module: str, folder: Path, count: int) -> Answer:
    kept = folder / "answers" / module
    kept.mkdir(parents=True, exist_ok=True)
    try:
        finished = run(str(folder), str(count), str(kept / "scores.npy"))
        # The last line: some peers say more on stdout.
        told = msgspec.json.decode(finished.stdout.strip().rpartition(b"\n")[2], type=Told)
        scores = np.load(kept / "scores.npy")
    finally:
        shutil.rmtree(kept, ignore_errors=True)
    ramps = [Ramp(*ramp) for ramp in told.ramps]
    ended_s = max(ramp.end_s for ramp in ramps) if told.ended_s is None else told.ended_s
    return Answer(finished=finished, ramps=ramps, ended_s=ended_s, scores=scores)
