"""Each fault of a plan, brought about with real processes: what the caller is told, and what the function did."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fanwise.settings import Mount
from fanwise_local.environment import InvokeResult
from fanwise_local.faults.functions import FaultyFunctions
from fanwise_local.faults.plan import FaultPlan, parse_plan
from fanwise_local.function_process import FAULTY_BOOTSTRAP
from fanwise_local.functions import FunctionService, UnknownFunctionError
from fanwise_local.mounts import Mounts

from ..invoking import answer, is_running, linux_only, made, run, until_gone, until_written


def plan_of(*rules: dict[str, Any], seed: int = 0) -> FaultPlan:
    return parse_plan(json.dumps({"seed": seed, "rules": rules}).encode(), "plan.json")


@dataclass
class Cloud:
    """The function `committing` under a plan, its bucket, and what it left."""

    folder: Path
    service: FunctionService
    functions: FaultyFunctions

    async def invoke(self, entry: str = "0", attempt: int = 1) -> InvokeResult:
        event = {"entry": {"entry": entry, "attempt": attempt}, "runs": str(self.folder / "runs")}
        return await self.functions.invoke("committing", event)

    def pids(self) -> list[int]:
        """Of each time that the function ran, the process."""
        path = self.folder / "runs"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def parts(self) -> int:
        return len(list((self.folder / "bucket/parts").glob("*")))

    @property
    def commit(self) -> Path:
        return self.folder / "bucket/jobs/1/commits/0.json"

    def kept(self) -> list[dict[str, Any]]:
        path = self.folder / "faults.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def cloud_of(
    folder: Path, *rules: dict[str, Any], environments: int = 2, memory_mb: int = 512, timeout_s: int = 30
) -> AsyncIterator[Cloud]:
    (folder / "bucket/items").mkdir(parents=True)
    (folder / "bucket/items/1.txt").write_text("twelve chars")
    function = made("committing", name="committing", memory_mb=memory_mb, timeout_s=timeout_s)
    service = FunctionService(
        {function.logical_id: function},
        environments=environments,
        extra_environment=Mounts({"results": Mount(str(folder / "bucket"), writable=True)}).environment(),
        work_dir=folder,
        bootstrap=FAULTY_BOOTSTRAP,
    )
    await service.start()
    try:
        yield Cloud(folder, service, FaultyFunctions(service, plan_of(*rules), kept=folder / "faults.jsonl"))
    finally:
        await service.close()


def error_of(result: InvokeResult) -> str | None:
    return result.fault.error_type if result.fault else None


# What Step Functions sees of Lambda.


def test_without_a_fault_all_is_as_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path) as cloud:
            told = answer(await cloud.invoke())
            assert (told["text"], told["winner"]) == ("twelve chars", told["mine"])
            assert cloud.kept() == []
            with pytest.raises(UnknownFunctionError):
                await cloud.functions.invoke("disobedient", {})

    run(main())


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"fault": "throttle"}, "Lambda.TooManyRequestsException"),
        ({"fault": "error", "error": "Lambda.ServiceException"}, "Lambda.ServiceException"),
    ],
)
def test_what_is_refused_never_runs_and_the_next_one_does(
    tmp_path: Path, rule: dict[str, Any], error: str
) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {**rule, "times": 2}) as cloud:
            refused = [await cloud.invoke() for _ in range(2)]
            assert [error_of(result) for result in refused] == [error] * 2
            assert (cloud.pids(), cloud.service.pids()) == ([], [])
            assert answer(await cloud.invoke())["text"] == "twelve chars"
            assert [(line["number"], line["fault"]["fault"]) for line in cloud.kept()] == [
                (0, rule["fault"]),
                (1, rule["fault"]),
            ]

    run(main())


def test_what_befell_whom_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        rule = {"fault": "throttle", "function": "Committing", "entry": "7*", "attempt": 3}
        async with cloud_of(tmp_path, rule) as cloud:
            for entry, attempt in (("7", 2), ("8", 3), ("70", 3)):
                await cloud.invoke(entry, attempt)
            assert cloud.kept() == [
                {"function": "Committing", "entry": "70", "attempt": 3, "number": 0, "fault": rule}
            ]

    run(main())


def test_a_response_that_is_dropped_was_the_answer_to_work_that_is_done(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "drop_response"}) as cloud:
            assert error_of(await cloud.invoke()) == "Lambda.SdkClientException"
            decided = cloud.commit.read_text()
            again = answer(await cloud.invoke())
            assert again["winner"] == decided != again["mine"]

    run(main())


def test_an_invocation_that_is_repeated_answers_with_the_second(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "repeat_invocation"}) as cloud:
            told = answer(await cloud.invoke())
            assert told["winner"] == cloud.commit.read_text() != told["mine"]
            assert (len(cloud.pids()), cloud.parts()) == (2, 2)

    run(main())


def test_a_delay_comes_before_the_function_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "delay", "seconds": 600}) as cloud:
            waits = asyncio.create_task(cloud.invoke("slow"))
            await asyncio.sleep(0)  # it is the first of its kind
            assert answer(await cloud.invoke("slow"))["text"] == "twelve chars"
            assert not waits.done()
            assert len(cloud.pids()) == 1
            waits.cancel()

    run(main())


# What happens inside the invocation.


@pytest.mark.parametrize(
    ("when", "runs", "parts", "decided"),
    [("before work", 0, 0, False), ("between part and commit", 1, 1, False), ("after commit", 1, 1, True)],
)
def test_a_process_is_killed_at_each_moment(
    tmp_path: Path, when: str, runs: int, parts: int, decided: bool
) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "kill", "when": when}) as cloud:
            result = await cloud.invoke()
            assert result.fault is not None
            assert result.fault.error_type == "Runtime.ExitError"
            assert "signal: killed" in result.fault.payload["errorMessage"]
            assert (len(cloud.pids()), cloud.parts(), cloud.commit.exists()) == (runs, parts, decided)
            again = await cloud.invoke()
            assert (answer(again)["winner"] == answer(again)["mine"]) is not decided
            assert again.cold

    run(main())


@linux_only
def test_a_process_that_takes_more_than_it_may_is_out_of_memory(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "exceed_memory"}, memory_mb=128) as cloud:
            assert error_of(await cloud.invoke()) == "Runtime.OutOfMemory"
            assert cloud.pids() == []
            assert answer(await cloud.invoke())["text"] == "twelve chars"

    run(main())


def test_a_process_that_hangs_times_out_long_before_the_functions_own_timeout(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "exceed_time", "seconds": 0.2}, timeout_s=900) as cloud:
            result = await cloud.invoke()  # within the guard of `run`
            assert result.fault is not None
            assert result.fault.error_type == "Sandbox.Timedout"
            assert result.fault.payload["errorMessage"].endswith("Task timed out after 0.20 seconds")
            assert answer(await cloud.invoke())["text"] == "twelve chars"

    run(main())


def test_a_response_that_is_repeated_is_refused_the_second_time_and_counts_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "repeat_response"}) as cloud:
            first = answer(await cloud.invoke())
            assert first["winner"] == first["mine"]
            await until_gone(first["pid"])  # awslambdaric ends over it
            second = answer(await cloud.invoke())
            assert second["winner"] == first["mine"]
            assert second["pid"] != first["pid"]
        assert "InvalidRequestID" in (tmp_path / "logs/CommittingFunction.log").read_text()

    run(main())


def test_one_that_writes_late_has_its_environment_to_the_end_and_loses_to_whoever_was_there(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "write_late", "seconds": 0.1}, environments=1) as cloud:
            cloud.commit.parent.mkdir(parents=True)
            cloud.commit.write_text("whoever was there")
            assert error_of(await cloud.invoke()) == "Sandbox.Timedout"
            (zombie,) = cloud.pids()
            told = answer(await cloud.invoke())  # waits for its turn: the zombie has the one environment
            assert not is_running(zombie)
            assert told["winner"] == "whoever was there"
            assert told["pid"] != zombie
            assert cloud.parts() == 2

    run(main())


def test_one_that_writes_late_writes(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "write_late", "seconds": 0.1}) as cloud:
            result = await cloud.invoke()
            assert error_of(result) == "Sandbox.Timedout"
            await until_written(cloud.commit)
            assert cloud.commit.read_text() == result.request_id

    run(main())


def test_closing_the_cloud_ends_one_that_would_write_late(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "write_late", "seconds": 600}) as cloud:
            assert error_of(await cloud.invoke()) == "Sandbox.Timedout"
            (zombie,) = cloud.pids()
            assert is_running(zombie)
            assert not cloud.commit.exists()
        assert not is_running(zombie)
        assert not cloud.commit.exists()

    run(main())


# What the store does to the invocation.


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (
            {"fault": "store_error", "operation": "read", "key": "results/items/*.txt"},
            "StoreUnavailable",
        ),
        ({"fault": "store_error", "operation": "write", "error": "disk full"}, "StoreFull"),
        ({"fault": "truncate", "key": "*.txt"}, "StoreUnavailable"),
        ({"fault": "uncertain_create", "done": False}, "StoreUnavailable"),
    ],
)
def test_a_store_that_fails_is_told_and_the_process_lives_on(
    tmp_path: Path, rule: dict[str, Any], error: str
) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, rule) as cloud:
            assert error_of(await cloud.invoke()) == error
            told = answer(await cloud.invoke())
            assert (told["text"], told["winner"]) == ("twelve chars", told["mine"])
            assert len(set(cloud.pids())) == 1  # nothing has died

    run(main())


def test_a_commit_whose_answer_is_lost_is_the_writers_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with cloud_of(tmp_path, {"fault": "uncertain_create", "done": True}) as cloud:
            told = answer(await cloud.invoke())
            assert told["winner"] == told["mine"] == cloud.commit.read_text()

    run(main())
