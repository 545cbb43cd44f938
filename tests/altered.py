"""The files of a job that has ended, in a folder of this machine, to be altered: one job for many alterations."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud_in_process import Machine, item, write_bundle, write_items
from fanwise.digests import commit_encoder, digests_text, root_of
from fanwise.records import Commit
from fanwise_cli import run as run_module
from fanwise_cli.main import main

ORDERS = ["", "NotFound", "", "", "PredictionFailed", "", "", "", "", "die", "", "", ""]
JSON = dict[str, Any]


def make_job(folder: Path) -> None:
    """Run a job of 13 items in four entries, one of which was cut, and a replay of its dead letters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "LocalCloud", Machine().cloud)
        items = [item(x, order, id=f"n-{x}", note=x) for x, order in enumerate(ORDERS)]
        data = write_items(folder / "data/items.jsonl", items)
        words = ["--model", str(write_bundle(folder / "arithmetic")), "--out", str(folder / "out")]
        assert main(["run", str(data), *words, "--batch-size", "4", "--quiet"]) == 3
        assert main(["replay", str(folder / "out"), "--quiet"]) == 1  # they fail again


@dataclass(frozen=True)
class Altered:
    """The files of one copy of the job. `out` is its OUT, `items` its items file."""

    out: Path
    items: Path

    @property
    def job(self) -> Path:
        """The job's home."""
        (folder,) = [path for path in self.jobs if not json.loads((path / "job.json").read_bytes())["parent"]]
        return folder

    @property
    def replay(self) -> Path:
        """The home of its replay."""
        (folder,) = [path for path in self.jobs if path != self.job]
        return folder

    @property
    def jobs(self) -> list[Path]:
        """The homes of the job and its replay."""
        return sorted(self.out.glob(".fanwise/buckets/*results*/jobs/*"))

    @property
    def model(self) -> Path:
        """The folder of the published model."""
        (path,) = self.out.glob(".fanwise/buckets/*models*/models/*/*/digest.json")
        return path.parent

    def part(self, name: str) -> Path:
        """The part that holds an entry's `predictions` or `failures`: `predictions/000000`."""
        (path,) = self.job.glob(f"{name}-*.jsonl")
        return path

    def both(self, name: str) -> list[Path]:
        """A part, and the file in OUT that has its lines."""
        return [self.part(name), self.out / f"{name.partition('/')[0]}.jsonl"]

    @property
    def summaries(self) -> list[Path]:
        """summary.json in the job's home and in OUT."""
        return [self.job / "summary.json", self.out / "summary.json"]


def edit(*paths: Path, change: Callable[[JSON], object]) -> None:
    """Change a JSON file; `change` alters it in place."""
    for path in paths:
        value = json.loads(path.read_bytes())
        change(value)
        path.write_text(json.dumps(value, indent=2))


def edit_line(*paths: Path, index: int, change: Callable[[JSON], object]) -> None:
    """Change the line of an item in JSONL files."""
    for path in paths:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        for line in lines:
            if line["index"] == index:
                change(line)
        write_lines(path, lines)


def edit_lines(*paths: Path, change: Callable[[list[JSON]], object]) -> None:
    """Change the lines of JSONL files; `change` alters the list in place."""
    for path in paths:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        change(lines)
        write_lines(path, lines)


def write_lines(path: Path, lines: list[JSON]) -> None:
    """Write a JSONL file as fanwise does."""
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def in_place(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a file without a change of its size, its times or its inode."""
    before = path.stat()
    body = path.read_bytes()
    assert old in body
    assert len(old) == len(new)
    with path.open("r+b") as file:
        file.write(body.replace(old, new, 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def forge(files: Altered) -> None:
    """Make every digest of the job anew after an alteration, so that all files agree with each other."""
    parts = {path.relative_to(files.job).as_posix(): path for path in files.job.glob("*/*-*.jsonl")}

    def renew(part: JSON | None) -> None:
        if part is not None:
            body = parts[part["key"]].read_bytes()
            part |= {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}

    for path in files.job.glob("commits/*.json"):
        commit = json.loads(path.read_bytes())
        renew(commit["predictions"])
        renew(commit["failures"])
        path.write_bytes(commit_encoder.encode(msgspec.convert(commit, Commit)))
    for path in files.job.glob("map-run/*/SUCCEEDED*"):
        path.unlink()

    def renew_all(lines: list[JSON]) -> None:
        for line in lines:
            renew(line)

    edit_lines(files.job / "parts.jsonl", change=renew_all)
    forge_digests(files)


def _as_listed(name: str) -> tuple[bool, str]:
    """The commits last, each kind by name."""
    return name.startswith("commits/"), name.removesuffix(".json") if name.startswith("commits/") else name


def forge_digests(files: Altered) -> None:
    """Make digests.txt and the root of both summaries anew."""
    names = ["job.json", "claim.json", "parts.jsonl"]
    names += [path.relative_to(files.job).as_posix() for path in files.job.glob("*/*.json*")]
    ledger = [name for name in names if name.startswith(("work/", "commits/")) or "/" not in name]
    text = digests_text(
        {
            name: hashlib.sha256((files.job / name).read_bytes()).hexdigest()
            for name in sorted(ledger, key=_as_listed)
        }
    )
    (files.job / "digests.txt").write_bytes(text)

    def renew(summary: JSON) -> None:
        summary["digests"] = hashlib.sha256(text).hexdigest()
        summary["root"] = root_of(summary)

    edit(*files.summaries, change=renew)
