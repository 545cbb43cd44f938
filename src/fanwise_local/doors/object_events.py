"""Objects that are created in moto's S3, told as S3 tells EventBridge of them (ev-events).

moto has an event of its own, with a constant sequencer, `eTag` for `etag` and reasons that S3 does not know. What
makes it is replaced while an endpoint is open: it is called for every way in which an object comes to be (put,
form, copy, multipart), with the very version, and for buckets alone that have EventBridge switched on. What else
may happen to an object is not told.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fanwise_local.events import Reason

_REASONS: dict[str, Reason] = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
}


class Created(NamedTuple):
    """An object's new version. `sequencer` is greater than that of every one before."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    reason: Reason
    sequencer: str
    time_s: float


@contextmanager
def object_events(deliver: Callable[[Created], None]) -> Iterator[None]:
    """Hear of every object, in the thread that makes it, before its maker gets an answer."""
    from moto.s3 import notifications  # noqa: PLC0415 - an extra

    ordinary = notifications._send_event_bridge_message
    numbers = itertools.count(time.time_ns())

    def send(account_id: str, bucket: Any, event_name: Any, key: Any) -> None:
        reason = _REASONS.get(event_name.value)
        # Of an object in parts moto tells twice, first as if it had been put; and of tags with every object.
        if reason is None or (reason == "PutObject" and key.multipart is not None):
            return
        version = None if key.version_id == "null" else key.version_id
        sequencer = f"{next(numbers):018X}"
        deliver(Created(bucket.name, key.name, key.size, key.etag, version, reason, sequencer, time.time()))

    notifications._send_event_bridge_message = send
    try:
        yield
    finally:
        notifications._send_event_bridge_message = ordinary
