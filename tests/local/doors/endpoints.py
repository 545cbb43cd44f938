"""An endpoint for tests: the shipped template over stub handlers, and boto3 as anybody would have it."""

import asyncio
import hashlib
import http.client
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from fanwise_local.doors.endpoint import Endpoint
from fanwise_local.doors.signatures import KeyPair
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

    def client(self, service: str, *, keys: KeyPair | None = None, **more: Any) -> Any:
        """boto3's, as a person points it here; with other `keys`, if given."""
        told = self.endpoint.environment()
        keys = keys or self.endpoint.keys
        return boto3.client(
            service,
            endpoint_url=told["AWS_ENDPOINT_URL"],
            region_name=told["AWS_DEFAULT_REGION"],
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=Config(retries={"max_attempts": 0}, proxies={}, **more),
        )


@contextmanager
def opened(
    stack: Stack,
    work_dir: Path,
    observer: Observer | None = None,
    keys: KeyPair | None = None,
    idle_s: float = 60.0,
) -> Iterator[Opened]:
    """Open an endpoint, which asks for `keys`, if given; at the end it is closed, whatever is at work."""
    ready, end = threading.Event(), asyncio.Event()
    found: list[Opened] = []
    errors: list[BaseException] = []

    async def main() -> None:
        async with Endpoint(
            stack, work_dir=work_dir, environments=2, observer=observer, keys=keys, idle_s=idle_s
        ) as endpoint:
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


def bare(
    up: Opened,
    method: str,
    target: str,
    body: bytes = b"",
    signature: Mapping[str, str] | None = None,
    **headers: str,
) -> http.client.HTTPResponse:
    """A request as it stands, its answer read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return bare_at(up.endpoint.address, method, target, body, {**(signature or {}), **named})


def bare_at(
    address: str, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    """The same, of any endpoint."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, target, body, dict(headers or {}))
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def signed(
    up: Opened,
    method: str,
    target: str,
    payload: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    keys: KeyPair | None = None,
) -> dict[str, str]:
    """Headers of a request of S3, signed by botocore; `payload` is its body, or what stands for it."""
    signer = S3SigV4Auth(_credentials(keys or up.endpoint.keys), "s3", "us-east-1")
    request = AWSRequest(method, f"http://{up.endpoint.address}{target}", dict(headers or {}), b"")
    digest = payload if isinstance(payload, str) else hashlib.sha256(payload).hexdigest()
    signer.payload = lambda _: digest
    signer.add_auth(request)
    return dict(request.headers.items())


def _credentials(keys: KeyPair) -> Credentials:
    return Credentials(keys.access_key_id, keys.secret_access_key)
