"""`fanwise verify`: is every item of a job accounted for, once? Read line by line, written nowhere.

Finds the job and its folders; `verification` does the counting.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from fanwise.errors import InputError
from fanwise.records import home_of
from fanwise.storage import FolderBackend, Storage
from fanwise_cli.exit_codes import EXIT_FAILED, EXIT_OK
from fanwise_cli.home import find_job
from fanwise_cli.progress import counted, waiting
from fanwise_cli.recomputing import recompute_apart
from fanwise_cli.terminal import JobConsole, for_results, print_document
from fanwise_cli.verification import Verification, verify_job
from fanwise_cli.verification.result import ItemRun
from fanwise_local.mounts import Mounts
from fanwise_local.template import read_stack, stack_root

MAX_SHOWN = 5  # lines of each kind that a person is shown; --json has more

_ROOT = re.compile(r"[0-9a-fA-F]{64}")
_OUT = "OUT"  # the bucket that the job's home is read as: no folder's, whose names are lower case


@dataclass(frozen=True)
class VerifyOptions:
    """The words of the command line."""

    job: str
    roots: Sequence[str] = ()
    recompute: int = 0
    as_json: bool = False


def verify(options: VerifyOptions, *, console: JobConsole) -> int:
    """Verify a job and say what it comes to; the exit code. Raises `InputError` where there is no such job."""
    home, held = find_job(options.job, Path())
    stack = read_stack(stack_root())
    results = stack.buckets["ResultsBucket"]
    folders, root = split_roots(options.roots)
    mounts = Mounts.of(stack, work_dir=home.work_dir, folders=[], roots=folders)
    told = {name: mount.path for name, mount in mounts.by_bucket.items()}  # over what the run had
    mounted = held.folders | told | {_OUT: str(home.out)}
    storage = _storage(mounted)
    recompute = recompute_apart(storage, mounted, options.recompute) if options.recompute else None
    again = f", and predicting {counted(options.recompute, 'item')} again" if options.recompute else ""
    with waiting(console, f"reading every line{again}", quiet=False):
        found = verify_job(
            storage, home_of(results, held.job_id), f"s3://{_OUT}/", root=root, recompute=recompute
        )
    if options.as_json:
        print_document(document(found))
    else:
        print_verification(for_results(), found)
    return EXIT_OK if found.is_proved else EXIT_FAILED


def split_roots(given: Sequence[str]) -> tuple[list[str], str | None]:
    """What `--root` gives: folders, and the root of the job where it is 64 hexadecimal digits.

    Raises `InputError` for more than one root.
    """
    roots = {word.lower() for word in given if _ROOT.fullmatch(word)}
    if len(roots) > 1:
        raise InputError(f"--root names {len(roots)} roots, and a job has one; give the one that was kept")
    return [word for word in given if not _ROOT.fullmatch(word)], next(iter(roots), None)


def _storage(folders: Mapping[str, str]) -> Storage:
    return Storage(
        {name: FolderBackend(Path(path), writable=False) for name, path in folders.items()}, s3=False
    )


def document(found: Verification) -> dict[str, Any]:
    """What `--json` prints: the account, and whether it proves the job."""
    described: dict[str, Any] = msgspec.to_builtins(found)
    return {"proved": found.is_proved, **_with_limits(described)}


def _with_limits(described: dict[str, Any]) -> dict[str, Any]:
    """`unchecked` is all that was not proved, be it of this job or of any."""
    unchecked = [*described["unchecked"], *described.pop("limits")]
    return described | {
        "unchecked": unchecked,
        "replays": [_with_limits(replay) for replay in described["replays"]],
    }


def print_verification(console: JobConsole, found: Verification) -> None:
    """Print the verdict and the account, and what is wrong line by line."""
    console.tell(_headline(found), wrap=True)
    lines = list(_lines(found))
    width = max(len(label) for label, _ in lines)
    for label, value in lines:
        console.tell(Text.assemble("  ", (label.ljust(width), "dim"), "  ", value), wrap=True)
    for replay in found.replays:
        print_verification(console, replay)


def _headline(found: Verification) -> Text:
    mark, style = ("✔ PROVED", "bold green") if found.is_proved else ("✘ NOT PROVED", "bold red")
    text = Text.assemble((mark, style), f"  {found.job_id}")
    if not found.attempted:
        return text.append(": there were no items")
    if found.is_proved:
        every = "its one item is" if found.attempted == 1 else f"each of {found.attempted:,} items is"
        return text.append(f": {every} accounted for, once")
    return text


def _lines(found: Verification) -> Iterable[tuple[str, str]]:
    yield "attempted", f"{found.attempted:,}"
    yield "predicted", f"{found.predicted:,}"
    if found.replays:
        yield "recovered", f"{found.recovered:,}  by {counted(len(found.replays), 'replay')}"
    yield "dead-lettered", f"{found.dead_lettered:,}"
    yield "lost", f"{found.lost:,}{_named(found.lost_items)}{_why_lost(found)}"
    yield "duplicated", f"{found.duplicated:,}{_named(found.duplicated_items)}"
    yield "unexpected", f"{found.unexpected:,}"
    if (again := found.recomputed) is not None:
        yield (
            "recomputed",
            f"{again.agreed:,} of {counted(again.items, 'item')} agree, each alone on {again.runtime}",
        )
    if found.orphans:
        yield "orphans", f"{len(found.orphans):,}  which nothing counts: {_listed(found.orphans)}"
    for line in found.unexpected_lines[:MAX_SHOWN]:
        yield "unexpected", line
    for line in found.disagreements[:MAX_SHOWN]:
        yield "disagrees", line
    if len(found.disagreements) > MAX_SHOWN:
        yield "", f"and {len(found.disagreements) - MAX_SHOWN:,} more"
    for line in (*found.unchecked, *found.limits):
        yield "not checked", line
    if found.root is not None:
        yield "root", found.root


def _why_lost(found: Verification) -> str:
    if not found.is_finished:
        return "; the job has not ended: resume takes up what is lost"
    is_announced = found.lost and not found.disagreements
    return "; missing, by the job's own account: status says what helps" if is_announced else ""


def _named(runs: tuple[ItemRun, ...]) -> str:
    return f"  of index {_listed([str(run) for run in runs])}" if runs else ""


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:MAX_SHOWN]) + (" …" if len(names) > MAX_SHOWN else "")
