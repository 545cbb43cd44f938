"""Where the messages and events of the state machine go: into files here, into services in `doors.in_memory`."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fanwise_local.states.payloads import JSON, encode


class Outbox(Protocol):
    """Takes what was found to be well-formed. Raises `OSError` where there is no place to keep it."""

    async def send_message(self, queue_url: str, body: str) -> str:
        """Put a message into a queue of the stack; its id."""

    async def put_event(self, entry: Mapping[str, JSON]) -> str:
        """Put an entry of PutEvents on the default bus; its id."""


class FileOutbox:
    """Keeps them as lines of `queues/QUEUE.jsonl` and `events.jsonl` in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send_message(self, queue_url: str, body: str) -> str:
        """As a line `{"MessageId", "Body"}`."""
        message_id = str(uuid.uuid4())
        self._append(f"queues/{queue_url.rpartition('/')[2]}.jsonl", {"MessageId": message_id, "Body": body})
        return message_id

    async def put_event(self, entry: Mapping[str, JSON]) -> str:
        """As a line: the entry, and its `id`."""
        event_id = str(uuid.uuid4())
        self._append("events.jsonl", {"id": event_id, **entry})
        return event_id

    def _append(self, name: str, record: Mapping[str, JSON]) -> None:
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(encode(record) + b"\n")
        except OSError as error:  # a write does not say where the disk is full
            raise OSError(error.errno, error.strerror, str(path)) from error
