"""What the interpreter calls in a simulation: Lambda by its pool, S3 in memory; queues and events take all."""

import asyncio
from typing import Any

from fanwise.pricing import FREE_STORAGE_MB
from fanwise_local.services import LAMBDA_INVOKE
from fanwise_local.simulation.counts import Counts
from fanwise_local.simulation.handlers import TIMED_OUT, Handlers
from fanwise_local.simulation.pool import Pool, Throttled
from fanwise_local.simulation.store import Objects
from fanwise_local.states.errors import StatesError
from fanwise_local.states.payloads import JSON

THROTTLED = "Lambda.TooManyRequestsException"


class FunctionBill:
    """What a function is billed by."""

    __slots__ = ("memory_mb", "name", "storage_mb")

    def __init__(self, name: str, memory_mb: int, storage_mb: int = FREE_STORAGE_MB) -> None:
        self.name = name
        self.memory_mb = memory_mb
        self.storage_mb = storage_mb


class SimulatedServices:
    """`functions` are those of the stack, by what the definition calls them."""

    def __init__(
        self,
        functions: dict[str, FunctionBill],
        handlers: Handlers,
        pool: Pool,
        objects: Objects,
        counts: Counts,
    ) -> None:
        self._functions = functions
        self._handlers = handlers
        self._pool = pool
        self._objects = objects
        self._counts = counts
        self._going_on: set[asyncio.Task[JSON]] = set()

    async def call(self, resource: str, arguments: JSON) -> JSON:
        """Call a Task's resource; raises `StatesError`."""
        if resource != LAMBDA_INVOKE:
            return {}
        function = self._functions[arguments["FunctionName"]]
        event = arguments["Payload"]
        entry = event["entry"]["entry"] if "entry" in event else None
        try:
            cold = await self._pool.take(function.name)
        except Throttled:
            self._counts.throttled(entry)
            raise StatesError(THROTTLED, "Rate Exceeded. (simulated)") from None
        self._counts.no_longer_waits(entry)
        # An invocation goes on when Step Functions does not wait for it any more.
        task = asyncio.get_running_loop().create_task(self._invoke(function, event, cold))
        self._going_on.add(task)
        task.add_done_callback(self._ended)
        return {"StatusCode": 200, "Payload": await asyncio.shield(task)}

    async def get_object(self, bucket: str, key: str) -> bytes:
        """Read an object, for an ItemReader."""
        return self._objects.read(key, 0, None, None).data

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object, for a ResultWriter."""
        self._objects.write(key, body)

    def _ended(self, task: asyncio.Task[JSON]) -> None:
        self._going_on.discard(task)
        if not task.cancelled():
            task.exception()  # of one that nobody waits for, nobody asks

    async def _invoke(self, function: FunctionBill, event: dict[str, Any], cold: bool) -> JSON:
        loop = asyncio.get_running_loop()
        began_s, alive = loop.time(), True
        try:
            return await self._handlers.by_function[function.name](event, cold)
        except StatesError as error:
            alive = error.error != TIMED_OUT
            raise
        finally:
            self._counts.billed(loop.time() - began_s, function.memory_mb, function.storage_mb)
            self._pool.give_back(function.name, alive=alive)
