"""The clock and the loop whose time jumps."""

import asyncio
import time

import pytest

from fanwise_local.clock import VIRTUAL_START_S, Clock, Deadlock, run_virtual


def test_sleeping_a_week_takes_no_time() -> None:
    async def main() -> tuple[float, float]:
        clock = Clock()
        started = clock.now()
        await clock.sleep(604_800)
        return started, clock.now()

    before = time.process_time()
    assert run_virtual(main()) == (VIRTUAL_START_S, VIRTUAL_START_S + 604_800)
    assert time.process_time() - before < 5


def test_years_pass_too() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(10 * 24 * 3600 + 0.1)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(1000 * 24 * 3600 + 10)


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def main() -> list[float]:
        woken: list[float] = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(seconds)

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 0.5, 100_000, 7)))
        return woken

    assert run_virtual(main()) == [0.5, 3, 7, 100_000]


def test_a_timeout_is_virtual_too() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return loop.time()

    assert run_virtual(main()) == 30


def test_waiting_for_nothing_is_an_error_that_names_the_tasks() -> None:
    async def main() -> None:
        asyncio.current_task().set_name("the waiting one")  # type: ignore[union-attr]
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="1 tasks wait and no timer is set: the waiting one"):
        run_virtual(main())


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> tuple[int, float]:
        timer = asyncio.create_task(asyncio.sleep(1))
        value = await asyncio.to_thread(sum, [1, 2])
        at = asyncio.get_running_loop().time()
        await timer
        return value, at

    assert run_virtual(main()) == (3, 0)


def test_the_real_clock_tells_the_time_of_day() -> None:
    async def main() -> float:
        clock = Clock()
        await clock.sleep(-1)
        return clock.now()

    assert abs(asyncio.run(main()) - time.time()) < 60
