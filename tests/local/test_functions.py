"""The functions of a stack and the way to invoke them: bounds, order, reuse, limits, and the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fanwise_local import functions
from fanwise_local.environment import EnvironmentClosed
from fanwise_local.functions import (
    FunctionService,
    RequestTooLargeError,
    UnknownFunctionError,
    default_environments,
)
from fanwise_local.runtime_api import MAX_PAYLOAD_BYTES
from fanwise_local.template import Function, read_stack, stack_root

from .invoking import answer, is_running, made, run, until_gone, until_written


@asynccontextmanager
async def service_of(
    *which: Function, work_dir: Path, environments: int = 2, init_limit_s: float = 10.0
) -> AsyncIterator[FunctionService]:
    service = FunctionService(
        {function.logical_id: function for function in which or (made(),)},
        environments=environments,
        extra_environment={"WORK": work_dir.name},
        work_dir=work_dir,
        init_limit_s=init_limit_s,
    )
    await service.start()
    try:
        yield service
    finally:
        await service.close()


def deed(do: str, value: Any = None) -> dict[str, Any]:
    return {"do": do, "with": value}


def waiting(folder: Path, name: str) -> dict[str, Any]:
    """An event that makes the file `name` when it is at work, and ends when `name.go` is there."""
    return deed("wait", {"at_work": str(folder / name), "until": str(folder / f"{name}.go")})


# Names.


def test_a_function_is_invoked_by_its_name_or_its_arn(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            by_name = answer(await service.invoke("obedient", deed("tell")))
            by_arn = answer(await service.invoke(made().arn, deed("tell")))
            assert by_name["pid"] == by_arn["pid"]
            assert by_name["variables"]["WORK"] == tmp_path.name
            assert service.pids() == [by_name["pid"]]

    run(main())


def test_a_function_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            with pytest.raises(UnknownFunctionError, match="disobedient"):
                await service.invoke("disobedient", {})

    run(main())


# Bounds and order.


def test_of_a_function_no_more_are_at_work_than_there_may_be(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path, environments=2) as service:
            event = deed("count running", str(tmp_path))
            results = await asyncio.gather(*(service.invoke("obedient", event) for _ in range(8)))
            assert {answer(result) for result in results} <= {1, 2}
            assert len(service.pids()) == 2

    run(main())


def test_those_that_wait_are_served_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path, environments=1) as service:
            path = tmp_path / "order"
            events = [deed("append", {"path": str(path), "text": str(number)}) for number in range(8)]
            await asyncio.gather(*(service.invoke("obedient", event) for event in events))
            assert path.read_text() == "01234567"

    run(main())


def test_a_function_whose_environments_are_all_at_work_holds_up_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        small = made(name="small")
        async with service_of(made(), small, work_dir=tmp_path, environments=1) as service:
            large = asyncio.create_task(service.invoke("obedient", waiting(tmp_path, "large")))
            await until_written(tmp_path / "large")
            assert answer(await service.invoke("small", deed("echo", 5))) == 5
            assert not large.done()
            (tmp_path / "large.go").touch()
            assert answer(await large) == "large"

    run(main())


def test_one_that_is_cancelled_while_it_waits_takes_no_turn(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path, environments=1) as service:
            first = asyncio.create_task(service.invoke("obedient", waiting(tmp_path, "first")))
            await until_written(tmp_path / "first")
            path = tmp_path / "order"
            second, third = (
                asyncio.create_task(
                    service.invoke("obedient", deed("append", {"path": str(path), "text": text}))
                )
                for text in "23"
            )
            await asyncio.sleep(0)
            second.cancel()
            (tmp_path / "first.go").touch()
            await third
            assert answer(await first) == "first"
            assert second.cancelled()
            assert path.read_text() == "3"

    run(main())


async def two_at_work(service: FunctionService, folder: Path, last: str) -> dict[str, int]:
    """Has `a` and `b` at work at once, then lets them end, `last` last; their processes by name."""
    tasks = {name: asyncio.create_task(service.invoke("obedient", waiting(folder, name))) for name in "ab"}
    for name in tasks:
        await until_written(folder / name)
    for name in sorted(tasks, key=lambda name: name == last):
        (folder / f"{name}.go").touch()
        await tasks[name]
    return {name: int((folder / name).read_text()) for name in tasks}


@pytest.mark.parametrize("last", ["a", "b"])
def test_the_environment_used_last_is_used_first(tmp_path: Path, last: str) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            pids = await two_at_work(service, tmp_path, last)
            assert len(set(pids.values())) == 2
            for _ in range(3):
                assert answer(await service.invoke("obedient", deed("tell")))["pid"] == pids[last]

    run(main())


def test_a_warm_environment_is_used_before_one_whose_process_died(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            pids = await two_at_work(service, tmp_path, "b")
            died = await service.invoke("obedient", deed("exit at once", 1))
            assert died.fault is not None
            await until_gone(pids["b"])
            after = await service.invoke("obedient", deed("tell"))
            assert answer(after)["pid"] == pids["a"]
            assert not after.cold

    run(main())


# Limits.


def test_a_request_of_six_megabytes_passes_and_more_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            around = len('{"do":"note","with":""}')
            event = deed("note", "x" * (MAX_PAYLOAD_BYTES - around))
            assert len(answer(await service.invoke("obedient", event))) == MAX_PAYLOAD_BYTES - around
            with pytest.raises(RequestTooLargeError, match=f"{MAX_PAYLOAD_BYTES + 1} bytes; at most"):
                await service.invoke("obedient", deed("note", event["with"] + "x"))

    run(main())


def test_the_limit_of_init_can_be_set(tmp_path: Path) -> None:
    async def main() -> None:
        slow = made("initialising", variables={"INIT": "sleep:0.5"})
        async with service_of(slow, work_dir=tmp_path, init_limit_s=0.1) as service:
            result = await service.invoke("obedient", {})
            assert answer(result)["inits"] in (1, 2)
            assert result.duration_ms >= 500  # init is in it: it was done again

    run(main())


def test_a_service_without_environments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="environments is 0; at least 1"):
        FunctionService({}, environments=0, extra_environment={}, work_dir=tmp_path)


@pytest.mark.parametrize(
    ("memory_mb", "cores", "free_mb", "environments"),
    [
        (1769, 2, 16_000, 2),
        (1769, 8, 16_000, 8),
        (1769, 8, 4_000, 2),  # memory allows less than the cores
        (3538, 8, 64_000, 4),  # two vCPUs each
        (512, 8, 64_000, 8),  # less than one vCPU, but on a laptop it takes a core
        (10_240, 2, 4_000, 1),
        (1769, 1.5, 64_000, 1),
    ],
)
def test_there_are_as_many_environments_as_cores_and_memory_hold(
    monkeypatch: pytest.MonkeyPatch, memory_mb: int, cores: float, free_mb: float, environments: int
) -> None:
    monkeypatch.setattr(functions, "_cores", lambda: cores)
    monkeypatch.setattr(functions, "_free_memory_mb", lambda: free_mb)
    stack = read_stack(stack_root())
    sized = {name: replace(f, memory_mb=min(memory_mb, 1769)) for name, f in stack.functions.items()}
    sized["PredictBatchTensorFlowFunction"] = replace(
        sized["PredictBatchTensorFlowFunction"], memory_mb=memory_mb
    )
    assert default_environments(replace(stack, functions=sized)) == environments


def test_a_containers_limits_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(functions, "_CGROUP", tmp_path)
    unlimited_cores, unlimited_mb = functions._cores(), functions._free_memory_mb()
    assert unlimited_cores >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{64 * 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{48 * 2**20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {16 * 2**20}\n")
    assert functions._cores() == 0.5
    assert functions._free_memory_mb() == 32
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert functions._cores() == unlimited_cores
    assert functions._free_memory_mb() > 32
    assert unlimited_mb > 32


# The end.


def test_closing_ends_what_is_at_work_and_what_waits_and_what_is_idle(tmp_path: Path) -> None:
    async def main() -> None:
        idle, unused = made(name="idle"), made(name="unused")
        async with service_of(made(), idle, unused, work_dir=tmp_path, environments=1) as service:
            await service.invoke("idle", deed("tell"))
            at_work = asyncio.create_task(service.invoke("obedient", waiting(tmp_path, "a")))
            await until_written(tmp_path / "a")
            waits = asyncio.create_task(service.invoke("obedient", deed("tell")))
            await asyncio.sleep(0)
            pids = service.pids()
            assert len(pids) == 2
            await service.close()
            assert not any(map(is_running, pids))
            for task in (at_work, waits):
                with pytest.raises(EnvironmentClosed, match="obedient was closed"):
                    await task
            for name in ("idle", "unused"):
                with pytest.raises(EnvironmentClosed):
                    await service.invoke(name, {})
            assert service.pids() == []
        assert not (tmp_path / "tmp").exists()
        assert {path.name for path in (tmp_path / "logs").iterdir()} == {
            "ObedientFunction.log",
            "IdleFunction.log",
        }

    run(main())


def test_an_environment_begins_with_an_empty_tmp(tmp_path: Path) -> None:
    left = tmp_path / "tmp" / "ObedientFunction-0" / "notes"
    left.parent.mkdir(parents=True)
    left.write_text("of a cloud that was killed")

    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            assert answer(await service.invoke("obedient", deed("note", "new"))) == "new"

    run(main())


def test_two_services_at_once_do_not_meet(tmp_path: Path) -> None:
    async def main() -> None:
        folders = [tmp_path / "one", tmp_path / "two"]
        async with service_of(work_dir=folders[0]) as one:
            async with service_of(work_dir=folders[1]) as two:
                told = await asyncio.gather(*(s.invoke("obedient", deed("tell")) for s in (one, two)))
                assert [answer(result)["variables"]["WORK"] for result in told] == ["one", "two"]
                pids = one.pids()
            assert one.pids() == pids
            assert answer(await one.invoke("obedient", deed("tell")))["pid"] == pids[0]

    run(main())


# Functions that change.


def test_what_is_at_work_ends_as_it_began_and_the_next_event_finds_the_change(tmp_path: Path) -> None:
    async def main() -> None:
        async with service_of(work_dir=tmp_path, environments=1) as service:
            at_work = asyncio.create_task(service.invoke("obedient", waiting(tmp_path, "first")))
            await until_written(tmp_path / "first")
            old_pid = service.pids()[0]
            service.put(replace(made(), memory_mb=1024))
            changed = answer(await service.invoke("obedient", deed("tell")))
            assert changed["function"][1] == "1024"
            assert changed["pid"] != old_pid
            (tmp_path / "first.go").touch()
            assert (await at_work).fault is None
            await until_gone(old_pid)

    run(main())


def test_a_version_is_found_by_its_arn_until_it_is_removed(tmp_path: Path) -> None:
    version = replace(made(), version="3", arn=f"{made().arn}:3", memory_mb=256)

    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            service.put(version)
            told = answer(await service.invoke(version.arn, deed("tell")))
            assert (told["function"][1], told["variables"]["AWS_LAMBDA_FUNCTION_VERSION"]) == ("256", "3")
            assert service.find("obedient").memory_mb == 512
            service.remove(version.arn)
            with pytest.raises(UnknownFunctionError):
                service.find(version.arn)
            await until_gone(told["pid"])

    run(main())


# A full disk.


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("event", "error"),
    [
        (deed("raise", "no room for a part"), "PoisonItem"),
        (deed("print", "a line"), None),
        (deed("exit at once", 3), "Runtime.ExitError"),
    ],
)
def test_a_log_on_a_full_disk_takes_the_place_of_no_answer_and_no_error(
    tmp_path: Path, event: dict[str, Any], error: str | None
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / f"logs/{made().logical_id}.log").symlink_to("/dev/full")

    async def main() -> None:
        async with service_of(work_dir=tmp_path) as service:
            for _ in range(2):
                result = await service.invoke("obedient", event)
                assert (result.fault and result.fault.error_type) == error, result

    run(main())
