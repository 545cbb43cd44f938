"""The fault plan: read from its file, refused with the place of what is wrong, and the one decision it makes.

What befalls an invocation follows from the plan and the invocation's coordinates alone, so neither time nor the
order in which things happen change it, and a run that failed can be run again.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
import msgspec.inspect

from fanwise.errors import InputError
from fanwise_local.faults.rules import KINDS, Fault, OnlyOne
from fanwise_local.states.payloads import JSON

MAX_PLAN_BYTES = 1024 * 1024
MAX_SEED = 2**63 - 1

_RUNTIME_AND_KIND = re.compile(r"(TensorFlow|LiteRT)?Function$")
_WHERE = re.compile(r"(?P<why>.*?)(?: - at `\$\.?(?P<field>.*)`)?", re.DOTALL)


def state_name(logical_id: str) -> str:
    """What states, and rules of a plan, call a function: `PredictBatchLiteRTFunction` is PredictBatch."""
    return _RUNTIME_AND_KIND.sub("", logical_id)


class Coordinates(NamedTuple):
    """Which invocation: the `number`-th, from 0, of those with this function, entry and attempt."""

    function: str
    entry: str | None
    attempt: int | None
    number: int


class Invocations:
    """Numbers invocations, in the process that invokes."""

    def __init__(self) -> None:
        self._numbers: Counter[tuple[str, str | None, int | None]] = Counter()

    def next(self, function: str, payload: JSON) -> Coordinates:
        """The coordinates of the next invocation of `function`, named as its state is, with this event."""
        entry, attempt = _entry_of(function, payload)
        number = self._numbers[function, entry, attempt]
        self._numbers[function, entry, attempt] += 1
        return Coordinates(function, entry, attempt, number)


def _entry_of(function: str, payload: JSON) -> tuple[str | None, int | None]:
    if not isinstance(payload, dict):
        return None, None
    entry = payload.get("entry")
    if (
        entry is None and function == "PredictBatch"
    ):  # a Round, which AggregateResults is given, has a probe too
        entry = payload.get("probe")
    if not isinstance(entry, dict) or not isinstance(entry.get("entry"), str):
        return None, None
    attempt = entry.get("attempt")
    return entry["entry"], attempt if isinstance(attempt, int) else None


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall go wrong. Rules stand in order; `seed` decides where one has a probability."""

    seed: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEED)] = 0
    rules: tuple[Fault, ...] = ()

    def faults_of(
        self, function: str, entry: str | None, attempt: int | None, number: int
    ) -> tuple[Fault, ...]:
        """What befalls an invocation, `number` from 0 among those with the same coordinates.

        Of the deadly and answer-changing faults the first that matches; of the others all.
        """
        faults: list[Fault] = []
        is_fated = False
        for place, rule in enumerate(self.rules):
            is_only_one = isinstance(rule, OnlyOne)
            if (is_only_one and is_fated) or not rule.matches(function, entry, attempt, number):
                continue
            if self._drawn(place, function, entry, attempt, number) < rule.probability:
                faults.append(rule)
                is_fated = is_fated or is_only_one
        return tuple(faults)

    def _drawn(self, place: int, *coordinates: str | int | None) -> float:
        """A number from 0 to below 1 that belongs to a rule and an invocation."""
        text = json.dumps([self.seed, place, *coordinates])
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return (int.from_bytes(digest) >> 11) / 2**53

    def check_functions(self, names: Collection[str], where: str) -> None:
        """Raises `InputError` for a rule whose `function` is none of these."""
        for place, rule in enumerate(self.rules):
            if not any(fnmatchcase(name, rule.function) for name in names):
                raise InputError(
                    f'{where}: rules[{place}].function: no function is called "{rule.function}"'
                    f" (there are: {', '.join(sorted(names))})"
                )

    def headline(self) -> str:
        """How many rules, and the seed."""
        return f"{len(self.rules)} rule{'' if len(self.rules) == 1 else 's'}, seed {self.seed}"

    def describe(self) -> str:
        """The plan for people, a line for each rule."""
        lines = [self.headline()]
        for place, rule in enumerate(self.rules):
            said: dict[str, Any] = msgspec.to_builtins(rule)
            words = [said.pop("fault"), *(f"{name}: {json.dumps(value)}" for name, value in said.items())]
            lines.append(f"  {place}. {', '.join(words)}")
        return "\n".join(lines)

    def to_json(self) -> bytes:
        """The plan as its file holds it; `parse_plan` reads it back the same."""
        return json.dumps(msgspec.to_builtins(self), indent=1).encode() + b"\n"


def read_plan(path: Path) -> FaultPlan:
    """The plan in a file; raises `InputError` for whatever is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; --faults wants a fault plan (docs/faults.md)") from error
    return parse_plan(data, str(path))


def parse_plan(data: bytes, where: str) -> FaultPlan:
    """The plan in a text; `where` opens the message of the `InputError` for whatever is wrong with it."""
    if len(data) > MAX_PLAN_BYTES:
        raise InputError(f"{where}: over {MAX_PLAN_BYTES:,} bytes, the most that a fault plan may have")
    values = _values(data, where)
    if not isinstance(values, dict):
        raise InputError(f'{where}: a fault plan is one JSON object: {{"seed": …, "rules": […]}}')
    rules = values.get("rules", [])
    if not isinstance(rules, list):
        raise InputError(f"{where}: rules: expected a list of rules")
    parsed = [_rule(rule, f"{where}: rules[{place}]") for place, rule in enumerate(rules)]
    try:
        plan = msgspec.convert({**values, "rules": []}, FaultPlan)
    except msgspec.ValidationError as error:
        raise _refused(error, f"{where}: plan", FaultPlan) from error
    return msgspec.structs.replace(plan, rules=tuple(parsed))


def _values(data: bytes, where: str) -> Any:
    """What the JSON text holds; nothing twice, and no number that is none."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        for name, _ in pairs if len(values) < len(pairs) else ():
            if [key for key, _ in pairs].count(name) > 1:
                raise InputError(f"{where}: {json.dumps(name)} stands there twice in one object; keep one")
        return values

    def no_constant(name: str) -> NoReturn:
        raise InputError(f"{where}: {name} is not JSON; write a number")

    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        message = f"{where}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        raise InputError(message) from error
    except (ValueError, RecursionError) as error:  # not UTF-8; a number of more digits than Python converts
        raise InputError(f"{where}: not a fault plan: {error}") from error


def _rule(values: object, where: str) -> Fault:
    if not isinstance(values, dict):
        raise InputError(f'{where}: a rule is an object: {{"fault": …}}')
    name = values.get("fault")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(KINDS)
        wrong = f"{json.dumps(name)} is no fault" if "fault" in values else "is missing"
        raise InputError(f"{where}.fault: {wrong}; there are: {known}")
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _refused(error, f"{where} ({name})", kind) from error


def _refused(error: msgspec.ValidationError, where: str, kind: type[msgspec.Struct]) -> InputError:
    """msgspec's words behind the place, and what would have been right: `rules[3] (kill).when: …`."""
    found = _WHERE.fullmatch(str(error))
    why, field = (found["why"], found["field"]) if found else (str(error), None)
    why = " ".join(f"{why[:1].lower()}{why[1:]}".replace("`", '"').split())
    if "unknown field" in why:
        why += f"; there are: {', '.join(kind.__struct_fields__)}"
    if "enum value" in why and field:
        why += f"; there are: {', '.join(_choices(kind, field))}"
    return InputError(f"{where}{'.' if field else ''}{field or ''}: {why}")


def _choices(kind: type[msgspec.Struct], field: str) -> list[str]:
    """The texts that a field may have."""
    info = msgspec.inspect.type_info(kind)
    fields = info.fields if isinstance(info, msgspec.inspect.StructType) else ()
    types = [one.type for one in fields if one.encode_name == field]
    return [
        str(value) for one in types if isinstance(one, msgspec.inspect.LiteralType) for value in one.values
    ]
