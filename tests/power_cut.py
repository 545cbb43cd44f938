"""A disk that loses power: what was not synced is gone, empty or torn, and what is there is what may be there.

`Recorder` notes what a folder's writers ask of the file system, in order. `Recorder.cut` lays down in another
folder what a power cut at a moment may leave: of each folder's names that were not synced a drawn number of the
first ones, and of files whose bytes were not synced nothing, a part, or all of them.
"""

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from fake_model import FakeModel
from fanwise.records import home_of
from fanwise.storage import FolderBackend, ObstoreBackend
from fanwise_cli.verification import verify_job
from jobs import RESULTS, JobCloud, JobResults

ORDERS = ["", "", "NotFound", "", "die", "", "", "", "", ""]  # two entries, with a dead letter and a poison


@dataclass(frozen=True)
class Change:
    """One request: `sync` (of a file or folder), `name` (of `file`, which has `body`), `unname` or `folder`."""

    kind: str
    path: str
    file: str = ""
    body: bytes = b""


@dataclass
class Recorder:
    """What was asked of the file system below a folder."""

    root: Path
    changes: list[Change] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Note the requests of this process."""
        real = {name: getattr(os, name) for name in ("fsync", "replace", "link", "unlink", "mkdir")}

        def fsync(descriptor: int) -> None:
            real["fsync"](descriptor)
            self._note("sync", os.readlink(f"/proc/self/fd/{descriptor}"))

        def named(how: str) -> Callable[..., None]:
            def name(source: str, target: str) -> None:
                body = Path(source).read_bytes()
                real[how](source, target)
                self._note("name", target, os.fspath(source), body)

            return name

        def unlink(path: str, **how: Any) -> None:
            real["unlink"](path, **how)
            self._note("unname", path)

        def mkdir(path: str, *how: Any, **more: Any) -> None:
            real["mkdir"](path, *how, **more)
            self._note("folder", path)

        fakes = {"fsync": fsync, "replace": named("replace"), "link": named("link")}
        for name, fake in {**fakes, "unlink": unlink, "mkdir": mkdir}.items():
            setattr(os, name, fake)
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def _note(self, kind: str, path: str | Path, file: str = "", body: bytes = b"") -> None:
        if Path(path).is_relative_to(self.root):
            self.changes.append(Change(kind, os.fspath(path), file, body))

    def cut(self, moment: int, chance: random.Random, target: Path) -> None:
        """Lay down what may be left after the first `moment` requests."""
        synced: set[str] = set()
        durable: list[Change] = []
        pending: dict[str, list[Change]] = {}
        for change in self.changes[:moment]:
            if change.kind == "sync":
                synced.add(change.path)
                durable += pending.pop(change.path, [])
            else:
                pending.setdefault(os.path.dirname(change.path), []).append(change)
        for waiting in pending.values():
            durable += waiting[: chance.randint(0, len(waiting))]
        names: dict[str, Change] = {}
        folders = {os.fspath(self.root)}
        for change in sorted(durable, key=self.changes.index):
            if change.kind == "unname":
                names.pop(change.path, None)
            else:
                names[change.path] = change
        target.mkdir(parents=True)
        for path, change in sorted(names.items()):
            if os.path.dirname(path) not in folders:
                continue  # its folder is gone
            place = target / Path(path).relative_to(self.root)
            if change.kind == "folder":
                folders.add(path)
                place.mkdir()
            else:
                body = change.body
                kept = len(body) if change.file in synced else chance.choice([0, len(body) // 2, len(body)])
                place.write_bytes(body[:kept])


@dataclass
class Job:
    """A small job with a results bucket in a folder, run whole once; again after a power cut."""

    folder: Path
    syncs_files: bool = True

    def __post_init__(self) -> None:
        self._items = ObstoreBackend(MemoryStore())
        lines = (json.dumps({"id": f"n{i}", "inputs": {"x": i, "order": o}}) for i, o in enumerate(ORDERS))
        self._items.write("items.jsonl", "\n".join(lines).encode())
        (self.folder / "whole").mkdir(parents=True)
        self.recorder = Recorder(self.folder / "whole")
        with self.recorder.at_work():
            self.expected = self.run(self.folder / "whole")
        if not self.syncs_files:
            self.recorder.changes = [
                change
                for change in self.recorder.changes
                if change.kind != "sync" or ".writing-" not in change.path
            ]

    def run(self, results: Path) -> Sequence[object]:
        """Start the job, or resume what is there of it; what came out of it."""
        backend = FolderBackend(results, writable=True)
        cloud = JobCloud(model=FakeModel(2), input_bucket=self._items, buckets={RESULTS: backend})
        start = {**cloud.start({"items": "s3://input/items.jsonl", "batch_size": 5}), "resume": True}
        execution = cloud.run(start)
        cloud.close()
        assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
        output: Any = execution.output
        home = home_of(RESULTS, output["job_id"])
        found = verify_job(cloud.storage, home)
        assert (found.lost, found.duplicated, found.unexpected, found.disagreements) == (0, 0, 0, ()), found
        got = JobResults.of(cloud, output["job_id"])
        failures = {index: row["failure"]["error"] for index, row in got.failures.items()}
        return [sorted(got.predictions.items()), sorted(failures.items())]

    def survives(self, seed: int) -> None:
        """Cut the power at a drawn moment, and have the job resumed. Raises where it is not as it was."""
        chance = random.Random(f"power cut {seed}")
        left = self.folder / f"{seed}"
        self.recorder.cut(chance.randint(0, len(self.recorder.changes)), chance, left)
        assert self.run(left) == self.expected, seed
