"""S3, SQS, SNS, EventBridge, CloudFormation and STS of one account, kept in memory by moto.

moto's services live in this process and are called as the WSGI applications that they are, so that one server, one
guard and one port are enough, and what else runs here reaches them without HTTP. They are moto's own globals: one
account in a process. Nothing here is imported unless an endpoint is opened, and moto only then.
"""

import asyncio
import errno
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import IO, Any, TypeVar

from aiohttp import web

from fanwise.errors import InputError, StoreUnavailable
from fanwise.storage import Body, ObjectInfo, Storage
from fanwise_local.doors.object_events import Created, object_events
from fanwise_local.doors.unreadable import check_xml, is_unreadable, malformed
from fanwise_local.doors.wsgi import Application, answered, environ_name, environ_of
from fanwise_local.states.payloads import JSON
from fanwise_local.template import Stack
from fanwise_local.template_resources import ACCOUNT_ID, REGION

SERVICES = ("s3", "sqs", "sns", "events", "cloudformation", "sts")

T = TypeVar("T")
_log = logging.getLogger(__name__)


class InMemoryServices:
    """From `open` to `close`; what they keep is gone then. `created` hears of each new object, on the loop."""

    def __init__(self, stack: Stack, created: Callable[[Created], None]) -> None:
        self._stack = stack
        self._created = created
        # moto checks a condition (If-None-Match) and then writes: one thread makes that one step. More of them
        # would not be quicker, since they would share the interpreter.
        self._s3_thread = ThreadPoolExecutor(1, "s3")
        self._applications: dict[str, Application] = {}
        self._telling = ExitStack()

    async def open(self) -> None:
        """Begin anew, with what the template makes. Raises `InputError` where moto is not installed."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._s3_thread, self._begin)

        def tell(created: Created) -> None:
            loop.call_soon_threadsafe(self._created, created)

        self._telling.enter_context(object_events(tell))

    def _begin(self) -> None:
        try:
            from moto.moto_server import werkzeug_app  # noqa: PLC0415 - as above
        except ImportError as error:
            raise InputError(
                f"fanwise up needs moto's server ({error.name} is not installed): pip install 'fanwise[up]'"
            ) from error
        _forget()
        make: Callable[[Any], Application] = werkzeug_app.create_backend_app
        self._applications = {service: make(service) for service in SERVICES}
        self._create_stack()

    def _create_stack(self) -> None:
        from moto.cloudformation.models import cloudformation_backends  # noqa: PLC0415 - as above

        template = self._stack.data_template
        cloudformation_backends[ACCOUNT_ID][REGION].create_stack(
            name=self._stack.name, template=json.dumps(template), parameters={}, notification_arns=[], tags={}
        )
        for resource in template["Resources"].values():
            properties = resource["Properties"]
            if "BucketName" not in properties:
                continue
            bucket = _s3().get_bucket(properties["BucketName"])  # moto's CloudFormation leaves these two out
            bucket.versioning_status = properties.get("VersioningConfiguration", {}).get("Status")
            told = properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration", {})
            if told.get("EventBridgeEnabled"):
                bucket.set_notification_configuration({"EventBridgeConfiguration": {}})

    async def close(self) -> None:
        """Forget everything."""
        self._telling.close()
        await asyncio.get_running_loop().run_in_executor(self._s3_thread, _forget)
        await asyncio.to_thread(self._s3_thread.shutdown)

    async def handle(
        self,
        service: str,
        request: web.BaseRequest,
        body: IO[bytes],
        further: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Answer one request for one of `SERVICES`; `further` stands over its headers, by WSGI's names.

        Raises `Malformed` for what moto cannot read, and what moto did not foresee.
        """
        if service == "s3":
            check_xml(request, body)
        names = {"moto.preserved_header_names": _metadata_names(request)}
        environ = environ_of(request, body, {**names, **(further or {})})
        try:
            return await self._run(service, lambda: answered(self._applications[service], environ))
        except NotImplementedError:
            raise
        except Exception as error:
            if not is_unreadable(error):
                raise
            raise malformed(service, request, body, error) from error

    async def _run(self, service: str, work: Callable[[], T]) -> T:
        if service == "s3":
            return await asyncio.get_running_loop().run_in_executor(self._s3_thread, work)
        return await in_daemon_thread(work)

    def tell(self, event: Mapping[str, JSON]) -> None:
        """Give an event, as it is, to the rules that people have made on the default bus; does not wait."""
        self._s3_thread.submit(_deliver, event)

    async def send_message(self, queue_url: str, body: str) -> str:
        """`Outbox`: put a message into a queue."""
        queue = queue_url.rpartition("/")[2]
        try:
            message = await in_daemon_thread(lambda: _sqs().send_message(queue, body))
        except Exception as error:  # a queue that somebody has deleted, say
            raise OSError(errno.ENOENT, str(error), queue_url) from error
        return str(message.id)

    async def put_event(self, entry: Mapping[str, JSON]) -> str:
        """`Outbox`: an event's id; it comes by `tell`, like all events."""
        return str(uuid.uuid4())

    def storage(self) -> Storage:
        """The stack's buckets for this process, past HTTP; to be used in threads."""
        return Storage(
            {bucket: _Bucket(bucket, self._s3_thread) for bucket in self._stack.buckets.values()}, s3=False
        )


class EndpointBuckets:
    """`Buckets` behind the endpoint: the functions reach them as they reach S3 on AWS, with `fanwise.storage`."""

    def __init__(self, services: InMemoryServices, address: str, credentials: Mapping[str, str]) -> None:
        self._services = services
        self._address = address
        self._credentials = credentials

    def environment(self) -> dict[str, str]:
        """What points obstore at the endpoint."""
        return {**self._credentials, "AWS_ENDPOINT": f"http://{self._address}", "AWS_ALLOW_HTTP": "true"}

    def storage(self) -> Storage:
        """The same buckets for this process."""
        return self._services.storage()


class _Bucket:
    """A `Backend` of `fanwise.storage` over one of moto's buckets, on the thread that S3 has."""

    def __init__(self, name: str, thread: ThreadPoolExecutor) -> None:
        self._name = name
        self._thread = thread

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return self._thread.submit(work).result()
        except FileNotFoundError:
            raise
        except Exception as error:  # a bucket that somebody has deleted, say
            raise StoreUnavailable(str(error)) from error

    def _object(self, key: str, version_id: str | None = None) -> Any:
        found = _s3().get_object(self._name, key, version_id)
        if found is None:
            raise FileNotFoundError(key)
        return found

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        return self._run(lambda: _info(self._object(key, version_id)))

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        data: bytes = self._run(lambda: self._object(key, None if pin is None else pin.version_id).value)
        last = len(data) if end is None else min(end, len(data))
        return Body(data[start:last], max(last - start, 0))

    def write(self, key: str, body: bytes) -> None:
        self._run(lambda: _s3().put_object(self._name, key, body))

    def create(self, key: str, body: bytes) -> bool:
        def work() -> bool:
            if _s3().get_object(self._name, key) is not None:
                return False
            _s3().put_object(self._name, key, body)
            return True

        return self._run(work)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        def work() -> list[ObjectInfo]:
            keys = sorted(key for key in _s3().get_bucket(self._name).keys if key.startswith(prefix))
            found = (_s3().get_object(self._name, key) for key in keys)
            return [_info(one) for one in found if one is not None]

        yield from self._run(work)

    def delete(self, key: str) -> None:
        self._run(lambda: _s3().delete_object(self._name, key))


def _info(found: Any) -> ObjectInfo:
    version = None if found.version_id == "null" else found.version_id
    return ObjectInfo(found.name, found.size, found.etag, version)


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run it in a thread that nobody waits for at the end: a long poll of SQS lasts up to 20 s."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as failure:
            error = failure
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _metadata_names(request: web.BaseRequest) -> dict[str, str]:
    """Names of S3 metadata as they were sent, where moto looks for them: to WSGI `a_b` and `a-b` are one."""
    return {environ_name(n): n for n in request.headers if "_" in n and n.lower().startswith("x-amz-meta-")}


def _deliver(event: Mapping[str, JSON]) -> None:
    told = {**event, "time": datetime.fromisoformat(event["time"]).timestamp()}  # moto's own way
    for rule in list(_bus().event_buses["default"].rules.values()):
        if rule.state != "ENABLED":
            continue
        # Without a transformer moto would put the event into a template, which leaves out its account.
        is_transformed = bool(rule.targets) and all(target.get("InputTransformer") for target in rule.targets)
        further = {"ingestion-time": time.time()} if is_transformed else {}
        try:
            rule.send_to_targets({**told, **further}, transform_input=is_transformed)
        except Exception:  # a target that is gone, say; the others are not to suffer
            _log.exception("a rule's target did not get an event")


def _forget() -> None:
    from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415 - an extra

    moto_api_backend.reset()


def _s3() -> Any:
    from moto.s3.models import s3_backends  # noqa: PLC0415 - an extra

    return s3_backends[ACCOUNT_ID]["aws"]


def _sqs() -> Any:
    from moto.sqs.models import sqs_backends  # noqa: PLC0415 - an extra

    return sqs_backends[ACCOUNT_ID][REGION]


def _bus() -> Any:
    from moto.events.models import events_backends  # noqa: PLC0415 - an extra

    return events_backends[ACCOUNT_ID][REGION]
