"""When a schedule is due: `at(…)`, `rate(…)` and `cron(…)` of EventBridge Scheduler (schedule-types).

`at` and `cron` are read in the schedule's time zone: a time that does not exist, because clocks go forward, is
left out, and one that comes twice is due once. A day of `rate` has 24 hours.
"""

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EXPRESSION = re.compile(r"(at|rate|cron)\((.*)\)")
_RATE = re.compile(r"([1-9][0-9]*) (minute|hour|day)s?")
_UNIT = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_MONDAY, _FRIDAY, _SATURDAY = _DAYS["MON"], _DAYS["FRI"], _DAYS["SAT"]
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_RANGE = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_NEAREST = re.compile(r"(\d{1,2})W")
_LAST_OF_ITS_KIND = re.compile(r"(\w+)L")
_NTH = re.compile(r"(\w+)#([1-5])")

_Days = Callable[[int, int], set[int]]  # year, month → the days of that month


class ScheduleError(ValueError):
    """A schedule that cannot be evaluated; the message names the part, and what it may be."""


class Expression(Protocol):
    """When a schedule is due."""

    def due(self, start: datetime) -> Iterator[datetime]:
        """The times it is due, from `start` on, in order; `start` has a time zone."""


def parse_expression(text: str, timezone: str = "UTC") -> Expression:
    """Read a schedule's expression. Raises `ScheduleError`."""
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ScheduleError(
            f"{text!r} is no schedule; write at(yyyy-mm-ddThh:mm:ss), rate(VALUE UNIT) or cron(SIX FIELDS)"
        )
    kind, inner = match.groups()
    zone = _zone(timezone)
    match kind:
        case "at":
            return _parse_at(inner, zone)
        case "rate":
            return _parse_rate(inner)
    return _parse_cron(inner, zone)


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # known where there is no database of zones, too
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(
            f"{name!r} is no time zone; write one of IANA's, such as Europe/Berlin"
        ) from error


def _moment(local: datetime, zone: tzinfo) -> datetime | None:
    """The moment when clocks of a zone show a time, the first one if they show it twice; None if they never do."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == local else None


@dataclass(frozen=True)
class At:
    """Once."""

    moment: datetime

    def due(self, start: datetime) -> Iterator[datetime]:
        """That moment, if it is still to come."""
        if self.moment >= start:
            yield self.moment


def _parse_at(text: str, zone: tzinfo) -> At:
    try:
        local = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        raise ScheduleError(f"at({text}) is no time; write at(yyyy-mm-ddThh:mm:ss)") from error
    moment = _moment(local, zone)
    if moment is None:
        raise ScheduleError(f"at({text}) does not exist in {zone}: clocks go forward over it")
    return At(moment)


@dataclass(frozen=True)
class Rate:
    """Every `period`, first at once, as a schedule without a start date is."""

    period: timedelta

    def due(self, start: datetime) -> Iterator[datetime]:
        """`start` and every period after it."""
        moment = start
        while True:
            yield moment
            moment += self.period


def _parse_rate(text: str) -> Rate:
    match = _RATE.fullmatch(text)
    if match is None:
        raise ScheduleError(
            f"rate({text}) is no rate; write a whole number from 1, and minutes, hours or days: rate(5 minutes)"
        )
    try:
        return Rate(int(match[1]) * _UNIT[match[2]])
    except OverflowError as error:
        raise ScheduleError(f"rate({text}) is longer than a clock goes") from error


@dataclass(frozen=True)
class Cron:
    """At the minutes that six fields name, in a time zone."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: _Days
    months: tuple[int, ...]
    years: tuple[int, ...]
    zone: tzinfo

    def due(self, start: datetime) -> Iterator[datetime]:
        """Those from `start` on."""
        first = start.astimezone(self.zone).date()
        for day in self._dates(first):
            for hour in self.hours:
                for minute in self.minutes:
                    moment = _moment(datetime.combine(day, time(hour, minute)), self.zone)
                    if moment is not None and moment >= start:
                        yield moment

    def _dates(self, first: date) -> Iterator[date]:
        for year in self.years:
            for month in self.months:
                if (year, month) >= (first.year, first.month):
                    days = (date(year, month, day) for day in sorted(self.days(year, month)))
                    yield from (day for day in days if day >= first)


def _parse_cron(text: str, zone: tzinfo) -> Cron:
    fields = text.upper().split()
    if len(fields) != 6:
        raise ScheduleError(
            f"cron({text}) has {len(fields)} fields; it has six: minutes, hours, day of month, month, day of week,"
            f" year"
        )
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise ScheduleError(
            f"cron({text}): one of day of month ({of_month}) and day of week ({of_week}) is ?, and not both"
        )
    return Cron(
        minutes=_values(minutes, "minutes", 0, 59),
        hours=_values(hours, "hours", 0, 23),
        days=_days_of_month(of_month) if of_week == "?" else _days_of_week(of_week),
        months=_values(months, "month", 1, 12, _MONTHS),
        years=_values(years, "year", _FIRST_YEAR, _LAST_YEAR),
        zone=zone,
    )


def _values(
    text: str, name: str, least: int, most: int, names: dict[str, int] | None = None
) -> tuple[int, ...]:
    """The values that a field names, ascending: `*`, `1`, `1-5`, `0/15`, and lists of them."""
    values: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ScheduleError(f"cron: {name} {text!r}: {part!r} is no value, range or step")
        first, last, step = match.groups()
        begin = least if first is None else _value(first, text, name, least, most, names)
        end = begin if first is not None and step is None else most
        if last is not None:
            end = _value(last, text, name, least, most, names)
        if end < begin:
            raise ScheduleError(f"cron: {name} {text!r}: {part!r} ends before it begins")
        if step is not None and int(step) == 0:
            raise ScheduleError(f"cron: {name} {text!r}: a step is at least 1")
        values.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(values))


def _value(given: str, text: str, name: str, least: int, most: int, names: dict[str, int] | None) -> int:
    value = (names or {}).get(given)
    if value is None:
        value = int(given) if given.isdecimal() and given.isascii() else None
    if value is None or not least <= value <= most:
        also = f", or {', '.join(names)}" if names else ""
        raise ScheduleError(f"cron: {name} {text!r}: {given!r} is not from {least} to {most}{also}")
    return value


def _days_of_month(text: str) -> _Days:
    """`L` is the last day, `15W` the weekday nearest to the 15th, in the same month."""
    if text == "L":
        return lambda year, month: {_last_day(year, month)}
    if match := _NEAREST.fullmatch(text):
        day = _value(match[1], text, "day of month", 1, 31, None)
        return lambda year, month: (
            {_nearest_weekday(year, month, day)} if day <= _last_day(year, month) else set()
        )
    days = set(_values(text, "day of month", 1, 31))
    return lambda year, month: {day for day in days if day <= _last_day(year, month)}


def _days_of_week(text: str) -> _Days:
    """1 is Sunday. `L` is Saturday, `6L` the last Friday of the month, `3#2` its second Tuesday."""
    if text == "L":
        text = str(_SATURDAY)
    if match := _LAST_OF_ITS_KIND.fullmatch(text):
        weekday = _weekday(match[1], text)
        return lambda year, month: {max(_days_on(year, month, {weekday}))}
    if match := _NTH.fullmatch(text):
        weekday, number = _weekday(match[1], text), int(match[2])
        return lambda year, month: set(sorted(_days_on(year, month, {weekday}))[number - 1 : number])
    weekdays = set(_values(text, "day of week", 1, 7, _DAYS))
    return lambda year, month: _days_on(year, month, weekdays)


def _weekday(given: str, text: str) -> int:
    return _value(given, text, "day of week", 1, 7, _DAYS)


def _day_of_week(year: int, month: int, day: int) -> int:
    return date(year, month, day).isoweekday() % 7 + 1


def _days_on(year: int, month: int, weekdays: set[int]) -> set[int]:
    every = range(1, _last_day(year, month) + 1)
    return {day for day in every if _day_of_week(year, month, day) in weekdays}


def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _nearest_weekday(year: int, month: int, day: int) -> int:
    weekdays = _days_on(year, month, set(range(_MONDAY, _FRIDAY + 1)))
    return min(weekdays, key=lambda other: abs(other - day))
