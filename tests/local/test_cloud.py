"""The local cloud: the shipped definition and template over stub handlers, in processes of their own."""

import asyncio
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from fanwise_local.cloud import LocalCloud
from fanwise_local.events import s3_event
from fanwise_local.mounts import Mounts
from fanwise_local.states.executions import Execution
from fanwise_local.states.observer import Observer
from fanwise_local.template import Stack, read_stack, stack_root

from .invoking import FOLDERS, is_running, run, until_written


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The shipped template and definition, with stubs for handlers."""
    root = tmp_path_factory.mktemp("stack")
    shutil.copy(stack_root() / "template.yaml", root)
    shutil.copytree(stack_root() / "statemachine", root / "statemachine")
    shutil.copytree(FOLDERS / "stubs", root / "lambdas")
    return read_stack(root)


def cloud_of(stack: Stack, work_dir: Path, **more: Any) -> LocalCloud:
    mounts = Mounts.of(stack, work_dir=work_dir, folders=[], roots=[])
    return LocalCloud(stack, work_dir=work_dir, mounts=mounts, **{"environments": 2, **more})


def job_folder(stack: Stack, work_dir: Path) -> Path:
    return work_dir / "buckets" / stack.buckets["ResultsBucket"] / "jobs" / "job-1"


def ran(stack: Stack, work_dir: Path, **start: Any) -> Execution:
    async def main() -> Execution:
        async with cloud_of(stack, work_dir) as cloud:
            execution = await cloud.start_execution(start).wait()
            pids = cloud.functions.pids()
        assert pids
        assert not any(map(is_running, pids))
        return execution

    return run(main())


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_job_runs_through_the_shipped_definition(stack: Stack, tmp_path: Path) -> None:
    execution = ran(stack, tmp_path, entries=6)
    assert (execution.status, execution.cause) == ("SUCCEEDED", None)
    assert execution.output["items"] == {"predicted": 6, "dead_lettered": 0}
    (map_run,) = execution.map_runs
    assert map_run.total == 6
    folder = job_folder(stack, tmp_path)
    (manifest,) = folder.glob("map-run/*/manifest.json")
    assert json.loads(manifest.read_bytes())["DestinationBucket"] == stack.buckets["ResultsBucket"]
    (event,) = lines_of(tmp_path / "events.jsonl")
    assert event["Source"] == "fanwise"
    assert event["Detail"]["status"] == "SUCCEEDED"
    assert "latency_ms" not in event["Detail"]
    assert not (tmp_path / "queues").exists()


def test_an_entry_whose_process_dies_is_handled_and_announced(stack: Stack, tmp_path: Path) -> None:
    execution = ran(stack, tmp_path, entries=5, die=[1, 3])
    assert execution.status == "SUCCEEDED"
    assert execution.output["items"] == {"predicted": 3, "dead_lettered": 2}
    failures = job_folder(stack, tmp_path) / "failures"
    assert sorted(path.name for path in failures.iterdir()) == ["1.json", "3.json"]
    failure = json.loads((failures / "1.json").read_bytes())
    assert failure["Error"] == "Runtime.ExitError"
    assert "exit status 1" in json.loads(failure["Cause"])["errorMessage"]
    (message,) = lines_of(tmp_path / "queues" / "fanwise-dead-letters.jsonl")
    assert json.loads(message["Body"])["dead_lettered"] == 2
    assert "exit status 1" in (tmp_path / "logs" / "PredictBatchTensorFlowFunction.log").read_text()


def test_an_execution_that_somebody_stops_is_accounted_for_and_announced(
    stack: Stack, tmp_path: Path
) -> None:
    async def main() -> None:
        async with cloud_of(stack, tmp_path) as cloud:
            execution = cloud.start_execution({"entries": 4, "hang": [3]})
            folder = job_folder(stack, tmp_path)
            await until_written(folder / "hangs")
            execution.stop(cause="by hand")
            assert await cloud.settled(execution) is execution
            _, closing = cloud.state_machine.executions.values()
        assert (execution.status, closing.status) == ("ABORTED", "SUCCEEDED")
        assert closing.input["detail"]["executionArn"] == execution.arn
        (event,) = lines_of(tmp_path / "events.jsonl")
        assert event["Detail"]["items"]["predicted"] == len(list((folder / "commits").iterdir()))

    run(main())


OUTCOME_RULE = """
  OutcomeRule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [fanwise], detail: {status: [SUCCEEDED]}}
      Targets: [{Id: Mine, Arn: "arn:mine"}, {Id: Another, Arn: "arn:aws:sns:us-east-1:123456789012:not-here"}]
"""


def test_what_is_announced_goes_to_the_rules_that_take_it(stack: Stack, tmp_path: Path) -> None:
    shutil.copytree(stack.root, tmp_path / "stack")
    template = tmp_path / "stack" / "template.yaml"
    template.write_text(template.read_text().replace("\nOutputs:", f"{OUTCOME_RULE}\nOutputs:"))
    work_dir, told = tmp_path / "work", list[Any]()

    async def main() -> None:
        async with cloud_of(read_stack(tmp_path / "stack"), work_dir) as cloud:
            cloud.event_bus.connect("arn:mine", told.append)
            await cloud.start_execution({"entries": 2}).wait()

    run(main())
    (event,), (kept,) = told, lines_of(work_dir / "events.jsonl")
    assert (event["id"], event["detail-type"]) == (kept["id"], "Batch Inference Job Ended")
    assert event["detail"]["items"]["predicted"] == 2


def test_an_event_starts_what_its_rule_says(stack: Stack, tmp_path: Path) -> None:
    bucket = stack.buckets["InputBucket"]
    event = s3_event(bucket, "jobs/a b.json", size_bytes=2, etag="e", time_s=0.0)
    other = s3_event(bucket, "scans/a.png", size_bytes=2, etag="e", time_s=0.0)

    async def main() -> None:
        async with cloud_of(stack, tmp_path) as cloud:
            cloud.put_event(other)
            cloud.put_event(event)
            (execution,) = cloud.state_machine.executions.values()
            assert execution.input == event
            await cloud.go_down("enough")
            cloud.put_event(event)
            assert len(cloud.state_machine.executions) == 1

    run(main())


def test_leaving_the_cloud_stops_its_executions_and_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    ended: list[str] = []

    class Ends(Observer):
        def execution_ended(self, execution: Execution) -> None:
            ended.append(execution.status)

    async def main() -> None:
        async with cloud_of(stack, tmp_path, observer=Ends()) as cloud:
            execution = cloud.start_execution({"entries": 4, "hang": [0, 1, 2, 3]})
            await until_written(job_folder(stack, tmp_path) / "hangs")
            pids = cloud.functions.pids()
            assert pids
        assert execution.status == "ABORTED"
        assert execution.cause == "the local cloud was closed"
        assert ended == ["ABORTED"]
        assert not any(map(is_running, pids))
        assert cloud.functions.pids() == []
        assert not (tmp_path / "tmp").exists()
        # HandleFailure was not told that the processes were killed: an entry that was stopped is no failure.
        assert not (job_folder(stack, tmp_path) / "failures").exists()

    run(main())


def test_a_cancelled_or_failing_caller_leaves_nothing_either(stack: Stack, tmp_path: Path) -> None:
    pids: list[int] = []

    async def caller() -> None:
        async with cloud_of(stack, tmp_path) as cloud:
            cloud.start_execution({"entries": 1, "hang": [0]})
            await until_written(job_folder(stack, tmp_path) / "hangs")
            pids.extend(cloud.functions.pids())
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(caller())
        while not pids:
            await asyncio.sleep(0.005)
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(map(is_running, pids))

    run(main())


def test_a_stopped_execution_frees_its_functions_for_the_next(stack: Stack, tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(stack, tmp_path, environments=1) as cloud:
            first = cloud.start_execution({"entries": 1, "hang": [0]})
            await until_written(job_folder(stack, tmp_path) / "hangs")
            first.stop()
            await first.wait()
            second = await cloud.start_execution({"entries": 2}).wait()
            assert (first.status, second.status) == ("ABORTED", "SUCCEEDED")

    run(main())


def test_two_clouds_run_at_once(stack: Stack, tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(stack, tmp_path / "a") as a, cloud_of(stack, tmp_path / "b") as b:
            executions = [a.start_execution({"entries": 2}), b.start_execution({"entries": 3})]
            await asyncio.gather(*(execution.wait() for execution in executions))
            assert [execution.output["items"]["predicted"] for execution in executions] == [2, 3]

    run(main())


def test_an_execution_is_named_by_the_caller_or_by_chance(stack: Stack, tmp_path: Path) -> None:
    async def main() -> None:
        names = []
        for folder in ("a", "b"):
            async with cloud_of(stack, tmp_path / folder, random=random.Random(3)) as cloud:
                names.append(cloud.start_execution({"entries": 0}).name)
                assert cloud.start_execution({"entries": 0}, "mine").arn.endswith(":mine")
        assert names[0] == names[1]

    run(main())


def test_a_number_of_environments_that_cannot_work_is_refused(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="environments is 0; at least 1"):
        cloud_of(stack, tmp_path, environments=0)
