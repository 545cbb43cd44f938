"""JSON values as Step Functions passes them, their size, and their text.

Values are shared, never copied: nothing in this package changes one once it is made.
"""

import json
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from fanwise_local.states.errors import DATA_LIMIT_EXCEEDED, StatesError

JSON: TypeAlias = Any  # dict[str, JSON] | list[JSON] | str | int | float | bool | None

MAX_PAYLOAD_BYTES = 262_144  # input, output, arguments or result of a state, as UTF-8 JSON (service-quotas)

_encode = msgspec.json.Encoder().encode


def encode(value: JSON) -> bytes:
    """The compact JSON text of a value, UTF-8."""
    try:
        return _encode(value)
    except (OverflowError, ValueError):  # an integer beyond 64 bits, a lone surrogate
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def text(value: JSON) -> str:
    """The compact JSON text of a value."""
    return encode(value).decode()


def checked(value: JSON, what: str) -> JSON:
    """The value itself, if its JSON text is at most 262,144 bytes.

    `what` opens the message, as in "The state 'Plan' was given an input". Raises `StatesError` with
    States.DataLimitExceeded (concepts-error-handling).
    """
    size_bytes = len(encode(value))
    if size_bytes > MAX_PAYLOAD_BYTES:
        cause = f"{what} of {size_bytes} bytes, exceeding the maximum of {MAX_PAYLOAD_BYTES} bytes."
        raise StatesError(DATA_LIMIT_EXCEEDED, cause)
    return value


def timestamp(epoch_s: float) -> str:
    """The form of times in the context object and in result files: `2026-01-01T00:00:00.000Z`."""
    moment = datetime.fromtimestamp(round(epoch_s, 3), UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"
