"""An endpoint for tests: the shipped template over stub handlers, and boto3 as anybody would have it."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from fanwise_local.doors.endpoint import Endpoint
from fanwise_local.states.observer import Observer
from fanwise_local.template import Stack, read_stack, stack_root
from local.invoking import FOLDERS


def stub_stack(root: Path) -> Stack:
    """The shipped template and definition, with stubs for handlers."""
    shutil.copy(stack_root() / "template.yaml", root)
    shutil.copytree(stack_root() / "statemachine", root / "statemachine")
    shutil.copytree(FOLDERS / "stubs", root / "lambdas")
    return read_stack(root)


class Opened:
    """An endpoint that is open, on a loop in a thread of its own."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, stack: Stack) -> None:
        self.endpoint = endpoint
        self.loop = loop
        self.stack = stack

    def client(self, service: str, **more: Any) -> Any:
        """boto3's, as a person points it here."""
        told = self.endpoint.environment()
        return boto3.client(
            service,
            endpoint_url=told["AWS_ENDPOINT_URL"],
            region_name=told["AWS_DEFAULT_REGION"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}, proxies={}, **more),
        )


@contextmanager
def opened(stack: Stack, work_dir: Path, observer: Observer | None = None) -> Iterator[Opened]:
    """Open an endpoint; at the end it is closed, whatever is at work."""
    ready, end = threading.Event(), asyncio.Event()
    found: list[Opened] = []
    errors: list[BaseException] = []

    async def main() -> None:
        async with Endpoint(stack, work_dir=work_dir, environments=2, observer=observer) as endpoint:
            found.append(Opened(endpoint, asyncio.get_running_loop(), stack))
            ready.set()
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        if found:
            yield found[0]
    finally:
        if found:
            found[0].loop.call_soon_threadsafe(end.set)
        thread.join()
        if errors:
            raise errors[0]
