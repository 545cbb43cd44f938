"""Pages of a list, as maxResults and nextToken ask for them."""

import base64
import binascii
from collections.abc import Callable

from fanwise_local.doors.aws_json import Members
from fanwise_local.states.errors import CallRefused
from fanwise_local.states.payloads import JSON

DEFAULT_PAGE, MAX_PAGE = 100, 1_000  # maxResults 0 is the default (API_ListExecutions)


class InvalidToken(CallRefused):
    """The nextToken is not one that this operation gave."""


def page(
    members: Members, name: str, count: int, give: Callable[[int], JSON], *, backwards: bool = False
) -> JSON:
    """One page of what `give` gives for positions below `count`, without None; the token is the next position.

    What was there when paging began keeps its position, so nothing comes twice or is left out.
    """
    most = members.whole("maxResults", MAX_PAGE) or DEFAULT_PAGE
    kind = f"{name}-backwards" if backwards else name
    token = members.text("nextToken")
    start = (count - 1 if backwards else 0) if token is None else min(_position(token, kind), count)
    positions = range(min(start, count - 1), -1, -1) if backwards else range(start, count)
    given: list[JSON] = []
    for position in positions:
        if len(given) == most:
            return {name: given, "nextToken": _token(position, kind)}
        told = give(position)
        if told is not None:
            given.append(told)
    return {name: given}


def _token(position: int, kind: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).decode()


def _position(token: str, kind: str) -> int:
    try:
        named, _, position = base64.urlsafe_b64decode(token).decode().partition(":")
        if named == kind and position.isdecimal():
            return int(position)
    except (ValueError, binascii.Error):
        pass
    raise InvalidToken("nextToken is not one that this operation gave")
