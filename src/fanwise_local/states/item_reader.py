"""Reads the items of a Map Run: the lines of a JSONL file, or a value of the state (input-output-itemreader)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from fanwise_local.states.errors import ITEM_READER_FAILED, QUERY_EVALUATION_ERROR, StatesError
from fanwise_local.states.payloads import JSON, text
from fanwise_local.states.scope import Scope
from fanwise_local.states.services import Services
from fanwise_local.states.syntax import ItemReader, MapState

MAX_FILE_BYTES = 10 * 1024**3
MAX_LINE_BYTES = 8 * 1024**2


class Items(Protocol):
    """The items of a Map Run, in order."""

    def __len__(self) -> int:
        """How many there are."""

    def item(self, index: int) -> dict[str, JSON]:
        """`$states.context.Map.Item` of one (input-output-contextobject). Raises `StatesError`."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file, each parsed when its child starts: ten thousand children need not be values at once."""

    lines: Sequence[bytes]
    source: str

    def __len__(self) -> int:
        return len(self.lines)

    def item(self, index: int) -> dict[str, JSON]:
        """Raises `StatesError` with States.ItemReaderFailed for a line that is too long or not JSON."""
        line = self.lines[index]
        place = f"{self.source}, line {index + 1}"
        if len(line) > MAX_LINE_BYTES:
            raise StatesError(
                ITEM_READER_FAILED, f"{place}: {len(line)} bytes; an item has at most {MAX_LINE_BYTES}."
            )
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise StatesError(ITEM_READER_FAILED, f"{place}: not JSON: {error}.") from error
        return {"Index": index, "Value": value, "Source": self.source}


@dataclass(frozen=True, slots=True)
class Values:
    """The parts of an array, or of an object with their keys."""

    values: Sequence[JSON]
    keys: Sequence[str] | None

    def __len__(self) -> int:
        return len(self.values)

    def item(self, index: int) -> dict[str, JSON]:
        """Never raises."""
        item: dict[str, JSON] = {"Index": index, "Value": self.values[index], "Source": "STATE_DATA"}
        return item if self.keys is None else {**item, "Key": self.keys[index]}


async def read_items(state: MapState, state_input: JSON, scope: Scope, services: Services) -> Items:
    """Reads what a Map state names: its ItemReader's file, its Items, or its input.

    Raises `StatesError`: States.ItemReaderFailed, or States.QueryEvaluationError where an expression fails.
    """
    if state.reader is not None:
        return await _read_lines(state.reader, scope, services)
    value = state_input if state.items is None else state.items.evaluate(scope)
    if isinstance(value, dict):
        return Values(list(value.values()), list(value))
    if not isinstance(value, list):
        shown = text(value)[:200]
        cause = f"The items of a Map state have to be an array or an object, but were {shown}."
        raise StatesError(QUERY_EVALUATION_ERROR, cause)
    return Values(value, None)


async def _read_lines(reader: ItemReader, scope: Scope, services: Services) -> Lines:
    bucket, key = reader.bucket.evaluate(scope), reader.key.evaluate(scope)
    max_items = None if reader.max_items is None else int(reader.max_items.evaluate(scope))
    source = f"S3://{bucket}/{key}"  # in capitals, as the context object has it
    try:
        body = await services.get_object(bucket, key)
    except StatesError as error:
        raise StatesError(ITEM_READER_FAILED, f"{source}: {error.error}: {error.cause}") from error
    if len(body) > MAX_FILE_BYTES:
        raise StatesError(ITEM_READER_FAILED, f"{source} has {len(body)} bytes; at most {MAX_FILE_BYTES}.")
    lines = body.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    return Lines(lines if max_items is None else lines[:max_items], source)
