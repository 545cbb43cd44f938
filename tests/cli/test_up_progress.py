"""What `fanwise up` says of jobs: each by its name while it runs, and in one line when it has ended."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud_in_process import Machine, item, write_items
from fanwise_cli import bundles
from fanwise_cli.bundles import PreparedBundle
from fanwise_cli.terminal import JobConsole
from fanwise_cli.up_progress import JobsProgress
from fanwise_local.mounts import Mounts
from fanwise_local.template import read_stack, stack_root

RESULTS = "s3://fanwise-results-123456789012-us-east-1/jobs/"


def said(
    tmp_path: Path,
    bundle: Path,
    starts: Mapping[str, Mapping[str, Any]],
    *,
    stops: bool = False,
    console: JobConsole | None = None,
) -> tuple[list[str], list[str]]:
    """Run executions by their names, one after the other; the lines that were printed, and what had not ended."""
    stack = read_stack(stack_root())
    mounts = Mounts.of(stack, work_dir=tmp_path, folders=[], roots=[])
    inputs = mounts.folder_of(stack.buckets["InputBucket"])
    write_items(inputs / "items.jsonl", [item(x, "UndecodableImage" if x == 3 else "") for x in range(10)])
    prepared: PreparedBundle = bundles.prepare(bundle, tmp_path / "cache")
    model = bundles.publish(prepared, mounts.folder_of(stack.buckets["ModelBucket"]))
    console = console or JobConsole(file=io.StringIO())
    progress = JobsProgress(console, f"s3://{stack.buckets['ResultsBucket']}/")
    progress.storage = mounts.storage()
    machine = Machine(before_call=lambda name: stops and name == "PredictBatch")

    async def main() -> list[str]:
        cloud = machine.cloud(stack, work_dir=tmp_path, mounts=mounts, environments=2, observer=progress)
        async with cloud:
            with progress:
                for name, start in starts.items():
                    words = {"items": f"s3://{inputs.name}/items.jsonl", "model": model, **start}
                    execution = cloud.state_machine.start_execution({"manifest": words}, name)
                    if stops:
                        while "PredictBatch" not in machine.calls:
                            await asyncio.sleep(0.001)
                    else:
                        await execution.wait()
                        for other in list(
                            cloud.state_machine.executions.values()
                        ):  # what its end has started
                            await other.wait()
            left = progress.stop()
            for execution in list(cloud.state_machine.executions.values()):
                execution.stop()
                await execution.wait()
            return left

    left = asyncio.run(main())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines(), left


def test_each_job_is_told_by_its_name_and_its_end_in_one_line(tmp_path: Path, bundle: Path) -> None:
    lines, left = said(tmp_path, bundle, {"first": {}, "again": {}, "other": {"name": "other"}})
    jobs = {line.split()[0] for line in lines if RESULTS in line}
    assert len(jobs) == 2
    ends = [line for line in lines if RESULTS in line or "second delivery" in line]
    first, again, other = ends
    assert "9 of 10 items predicted, 1 dead letter in" in first
    assert first.endswith(f"{RESULTS}{first.split()[0]}/")
    assert again == f"{first.split()[0]}  is there already; this was a second delivery"
    assert other.split()[0] != first.split()[0]
    assert f"{first.split()[0]}  predicting  10/10 items" in "\n".join(lines)
    assert left == []


def test_a_job_that_could_not_begin_says_why_once(tmp_path: Path, bundle: Path) -> None:
    lines, _ = said(tmp_path, bundle, {"bad": {"model": "nope@1"}})
    (line,) = [line for line in lines if "FAILED" in line]
    assert line.startswith("bad  FAILED  BundleError: model 'nope@1' is not published")
    assert not any("None" in line for line in lines)


def test_a_job_that_failed_is_told_of_once_though_its_end_is_looked_at_again(
    tmp_path: Path, bundle: Path
) -> None:
    lines, _ = said(tmp_path, bundle, {"strict": {"tolerated_failure_percentage": 1}})
    (line,) = [line for line in lines if "FAILED" in line]
    assert "JobFailed: " in line
    assert not any("second delivery" in line for line in lines)


def test_what_has_not_ended_is_named_and_nothing_more_is_said(tmp_path: Path, bundle: Path) -> None:
    lines, left = said(tmp_path, bundle, {"long": {}}, stops=True)
    (job,) = left
    assert job.startswith("items-")
    assert not any("ABORTED" in line for line in lines)


def test_a_terminal_gets_a_line_for_each_job_while_it_runs(tmp_path: Path, bundle: Path) -> None:
    terminal = JobConsole(file=io.StringIO(), force_terminal=True, force_interactive=True, width=120)
    lines, _ = said(tmp_path, bundle, {"first": {}}, console=terminal)
    text = "\n".join(lines)
    assert "1 dead letter" in text
    assert "9 of 10 items predicted" in text
