"""Schedules at work on the virtual clock, and how the template has them."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fanwise_local.clock import Clock, run_virtual
from fanwise_local.schedule_expressions import parse_expression
from fanwise_local.schedules import Schedule, Schedules
from fanwise_local.template import Stack, TemplateError, read_stack, stack_root

DAY_S = 86_400
MANIFEST = "s3://fanwise-input-123456789012-us-east-1/nightly/job.json"
PARAMETERS = {
    "ScheduleExpression": "cron(0 2 * * ? *)",
    "ScheduleTimezone": "Europe/Berlin",
    "ScheduledManifest": MANIFEST,
}


def fired(schedules: dict[str, Schedule], seconds: float) -> list[tuple[float, str, Any]]:
    """What is delivered within so many seconds from 2026-01-01T00:00:00Z on, and when."""

    async def main() -> list[tuple[float, str, Any]]:
        clock, delivered = Clock(), list[tuple[float, str, Any]]()
        start = clock.now()
        at_work = Schedules(
            schedules, clock, lambda arn, given: delivered.append((clock.now() - start, arn, given))
        )
        task = asyncio.create_task(at_work.run())
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return delivered

    return run_virtual(main())


def test_the_templates_schedule_starts_a_job_of_its_manifest_each_time() -> None:
    stack = read_stack(stack_root(), parameters=PARAMETERS)
    delivered = fired(dict(stack.schedules), 2.5 * DAY_S)
    assert [(round(at), arn) for at, arn, _ in delivered] == [
        (3600 + day * DAY_S, stack.state_machine_arn) for day in range(3)
    ]
    assert [given for _, _, given in delivered] == [
        {"manifest": MANIFEST, "scheduled_time": f"2026-01-0{day}T01:00:00Z"} for day in (1, 2, 3)
    ]


def schedule(text: str, given: str = "{}", name: str = "S") -> Schedule:
    arn = f"arn:aws:scheduler:us-east-1:123456789012:schedule/default/{name}"
    return Schedule(name, arn, parse_expression(text), "arn:target", given)


def test_every_context_attribute_is_replaced() -> None:
    names = ("schedule-arn", "scheduled-time", "execution-id", "attempt-number")
    given = json.dumps({name: f"<aws.scheduler.{name}> {name}" for name in names})
    (first, second) = fired({"S": schedule("rate(1 hour)", given)}, 5000)
    assert (
        first[2]["schedule-arn"] == "arn:aws:scheduler:us-east-1:123456789012:schedule/default/S schedule-arn"
    )
    assert first[2]["scheduled-time"] == "2026-01-01T00:00:00Z scheduled-time"
    assert second[2]["scheduled-time"] == "2026-01-01T01:00:00Z scheduled-time"
    assert first[2]["attempt-number"] == "1 attempt-number"
    assert re.fullmatch("[0-9a-f]{16} execution-id", first[2]["execution-id"])
    assert first[2]["execution-id"] != second[2]["execution-id"]


def test_several_schedules_run_beside_each_other_until_none_is_due_any_more() -> None:
    schedules = {
        "A": schedule("at(2026-01-01T00:01:00)", '{"n": 1}', "A"),
        "B": schedule("at(2026-01-01T00:00:30)", '{"n": 2}', "B"),
        "C": schedule("at(2025-01-01T00:00:00)", '{"n": 3}', "C"),
    }
    delivered: list[Any] = []

    async def main() -> None:
        await Schedules(schedules, Clock(), lambda arn, given: delivered.append(given["n"])).run()

    run_virtual(main())
    assert delivered == [2, 1]


def changed(folder: Path, **properties: str) -> Stack:
    """A stack whose one schedule has other properties."""
    values = {"ScheduleExpression": "rate(1 day)", "Target": '{Arn: x, Input: "{}"}', **properties}
    lines = "".join(f"      {name}: {value}\n" for name, value in values.items())
    (folder / "machine.json").write_text("{}")
    (folder / "template.yaml").write_text(
        "Resources:\n  Machine:\n    Type: AWS::Serverless::StateMachine\n    Properties:\n"
        "      DefinitionUri: machine.json\n"
        f"  Daily:\n    Type: AWS::Scheduler::Schedule\n    Properties:\n{lines}"
    )
    return read_stack(folder)


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"ScheduleExpression": "every day"}, "ScheduleExpression: 'every day' is no schedule"),
        ({"ScheduleExpressionTimezone": "Mars"}, "'Mars' is no time zone"),
        ({"Target": "{Arn: x}"}, "Target.Input: is None, not JSON text"),
        ({"Target": '{Arn: x, Input: "{"}'}, "Target.Input: is '{', not JSON text"),
        ({"StartDate": "2026-01-01T00:00:00Z"}, "StartDate: is not read on this machine; leave it out"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, properties: dict[str, str], why: str
) -> None:
    with pytest.raises(TemplateError, match=re.escape("template.yaml: Resources.Daily.Properties.")) as told:
        changed(tmp_path, **properties)
    assert why in str(told.value)


def test_a_schedule_that_is_disabled_is_none(tmp_path: Path) -> None:
    assert changed(tmp_path).schedules.keys() == {"Daily"}
    assert changed(tmp_path, State="DISABLED").schedules == {}
    assert changed(tmp_path, GroupName="default").schedules.keys() == {"Daily"}
