"""`fanwise_local.bootstrap` for a cloud with a fault plan: the function's handler, and around it its faults.

The faults of an invocation come with its event, as Lambda's client context: `{"custom": {"faults": […]}}`. The
handler is what is deployed; what it reads and writes goes through a `FaultLayer`.
"""

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

from fanwise import settings
from fanwise.storage import Storage, folders_of_settings
from fanwise_local.bootstrap import start
from fanwise_local.faults.rules import Fault, RepeatResponse
from fanwise_local.faults.store import FaultLayer, InvocationFaults
from fanwise_local.runtime_api import TAKEN_FOR_DEAD_PATH

Handler = Callable[[Any, Any], Any]

_STEP_MB = 16
_BEYOND_MB = 256  # what is taken above the limit, at most; where nobody watches memory, this is the end of it


class FaultyFunction:
    """The function of this process: its handler, its storage and its answers, as the faults have them."""

    def __init__(self) -> None:
        self._layer = FaultLayer()
        self._faults: tuple[Fault, ...] = ()

    def install(self) -> None:
        """Put it between awslambdaric and the handler, and below `Storage.from_settings`."""
        get_handler, answer = bootstrap._get_handler, LambdaRuntimeClient.post_invocation_result

        def answer_twice(client: LambdaRuntimeClient, *what: Any) -> None:
            answer(client, *what)
            if any(isinstance(fault, RepeatResponse) for fault in self._faults):
                answer(client, *what)

        bootstrap._get_handler = lambda name: self.around(get_handler(name))
        LambdaRuntimeClient.post_invocation_result = answer_twice
        Storage.from_settings = self._storage  # type: ignore[method-assign]

    def _storage(self) -> Storage:
        folders = folders_of_settings()
        return Storage(self._layer.over(folders), s3=not folders)

    def around(self, handler: Handler) -> Handler:
        """The handler, each of whose invocations has the faults that came with it."""

        def handle(event: Any, context: Any) -> Any:
            self._faults = _faults_of(context)
            faults = InvocationFaults(
                self._faults,
                die=_die,
                commit_late=lambda seconds, write: _commit_late(context.aws_request_id, seconds, write),
            )
            with self._layer.invocation(faults):
                return handler(event, context)

        return handle


def _faults_of(context: Any) -> tuple[Fault, ...]:
    client = context.client_context
    custom = client.custom if client is not None else None
    return msgspec.convert((custom or {}).get("faults", ()), tuple[Fault, ...])


def _die(error: str) -> NoReturn:
    """Come to the end that Step Functions calls `error`."""
    print(f"the fault plan ends this process: {error}", flush=True)  # noqa: T201 - the function's log
    if error == "Runtime.ExitError":
        os.kill(os.getpid(), signal.SIGKILL)
    held = []
    if error == "Runtime.OutOfMemory":
        for _ in range(0, settings.function_memory_mb() + _BEYOND_MB, _STEP_MB):
            held.append(b"x" * (_STEP_MB * 2**20))  # touched, so that it is resident  # noqa: PERF401
    while True:
        time.sleep(60)


def _commit_late(request_id: str, seconds: float, write: Callable[[], bool]) -> bool:
    """Have the cloud tell the caller that this invocation timed out, and commit later than that."""
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        connection.request("POST", TAKEN_FOR_DEAD_PATH.format(request_id=request_id))
        connection.getresponse().read()
    finally:
        connection.close()
    time.sleep(seconds)
    return write()


if __name__ == "__main__":
    FaultyFunction().install()
    start(sys.argv)
