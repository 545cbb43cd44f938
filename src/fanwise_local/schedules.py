"""The template's schedules at work: each fires its target when it is due (EventBridge Scheduler)."""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fanwise_local.clock import Clock
from fanwise_local.schedule_expressions import Expression
from fanwise_local.states.payloads import JSON


@dataclass(frozen=True)
class Schedule:
    """A schedule of the template. `input` is JSON text in which context attributes may stand."""

    name: str
    arn: str
    expression: Expression
    target: str
    input: str

    def input_at(self, moment: datetime) -> JSON:
        """What the target is given at a time that it is due (managing-schedule-context-attributes)."""
        attributes = {
            "schedule-arn": self.arn,
            "scheduled-time": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "execution-id": uuid.uuid4().hex[:16],
            "attempt-number": "1",
        }
        text = self.input
        for name, value in attributes.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return json.loads(text)


class Schedules:
    """Schedules on a clock. `deliver` is given the target's ARN, and its input."""

    def __init__(
        self, schedules: Mapping[str, Schedule], clock: Clock, deliver: Callable[[str, JSON], object]
    ) -> None:
        self._schedules = schedules
        self._clock = clock
        self._deliver = deliver

    async def run(self) -> None:
        """Fire whatever is due from now on, until cancelled, or until nothing ever will be."""
        async with asyncio.TaskGroup() as tasks:
            for name, schedule in self._schedules.items():
                tasks.create_task(self._run(schedule), name=f"schedule {name}")

    async def _run(self, schedule: Schedule) -> None:
        start = datetime.fromtimestamp(int(self._clock.now()), UTC)
        for moment in schedule.expression.due(start):
            await self._clock.sleep(moment.timestamp() - self._clock.now())
            self._deliver(schedule.target, schedule.input_at(moment))
