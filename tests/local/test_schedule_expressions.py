"""Schedule expressions: the examples of the guide (schedule-types), and cron against a slow and simple reading."""

import calendar
import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwise_local.schedule_expressions import ScheduleError, parse_expression

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def due(text: str, count: int = 3, timezone: str = "UTC", start: datetime = START) -> list[str]:
    times = islice(parse_expression(text, timezone).due(start), count)
    return [moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") for moment in times]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("cron(0 10 * * ? *)", ["2026-01-01T10:00", "2026-01-02T10:00", "2026-01-03T10:00"]),
        ("cron(15 12 * * ? *)", ["2026-01-01T12:15", "2026-01-02T12:15", "2026-01-03T12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-01-01T18:00", "2026-01-02T18:00", "2026-01-05T18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-01-01T08:00", "2026-02-01T08:00", "2026-03-01T08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-01-01T00:00", "2026-01-01T00:15", "2026-01-01T00:30"]),
        ("cron(0/10 * ? * MON-FRI *)", ["2026-01-01T00:00", "2026-01-01T00:10", "2026-01-01T00:20"]),
        ("cron(0/5 8-17 ? * mon-fri *)", ["2026-01-01T08:00", "2026-01-01T08:05", "2026-01-01T08:10"]),
        ("cron(1/10 * * * ? *)", ["2026-01-01T00:01", "2026-01-01T00:11", "2026-01-01T00:21"]),
        ("cron(15 10 ? * 6L 2026-2028)", ["2026-01-30T10:15", "2026-02-27T10:15", "2026-03-27T10:15"]),
        ("cron(0 0 ? * 3#2 *)", ["2026-01-13T00:00", "2026-02-10T00:00", "2026-03-10T00:00"]),
        ("cron(0 0 ? * FRI#5 *)", ["2026-01-30T00:00", "2026-05-29T00:00", "2026-07-31T00:00"]),
        ("cron(0 0 ? * L *)", ["2026-01-03T00:00", "2026-01-10T00:00", "2026-01-17T00:00"]),
        ("cron(0 0 L * ? *)", ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"]),
        ("cron(0 0 L 2 ? *)", ["2026-02-28T00:00", "2027-02-28T00:00", "2028-02-29T00:00"]),
        ("cron(0 0 3W * ? *)", ["2026-01-02T00:00", "2026-02-03T00:00", "2026-03-03T00:00"]),
        ("cron(0 0 1W 2,3,8 ? *)", ["2026-02-02T00:00", "2026-03-02T00:00", "2026-08-03T00:00"]),
        ("cron(0 0 31W * ? *)", ["2026-01-30T00:00", "2026-03-31T00:00", "2026-05-29T00:00"]),
        ("cron(0 0 31 JAN,APR-MAY ? *)", ["2026-01-31T00:00", "2026-05-31T00:00", "2027-01-31T00:00"]),
        ("cron(0 0 30 2 ? *)", []),
        ("cron(0 0 1 1 ? 2025-2026)", ["2026-01-01T00:00"]),
        ("cron(0 0 1 1 ? 2025)", []),
        ("rate(5 minutes)", ["2026-01-01T00:00", "2026-01-01T00:05", "2026-01-01T00:10"]),
        ("rate(1 hour)", ["2026-01-01T00:00", "2026-01-01T01:00", "2026-01-01T02:00"]),
        ("rate(7 days)", ["2026-01-01T00:00", "2026-01-08T00:00", "2026-01-15T00:00"]),
        ("at(2026-11-20T13:00:00)", ["2026-11-20T13:00"]),
        ("at(2025-11-20T13:00:00)", []),
    ],
)
def test_when_a_schedule_is_due(text: str, times: list[str]) -> None:
    assert due(text) == times


def test_times_are_those_of_the_time_zone() -> None:
    assert due("cron(0 2 * * ? *)", 1, "Europe/Berlin") == ["2026-01-01T01:00"]
    assert due("at(2026-07-01T02:00:00)", 1, "Europe/Berlin") == ["2026-07-01T00:00"]
    assert due("cron(30 23 31 12 ? *)", 1, "America/New_York") == ["2026-01-01T04:30"]


def test_a_time_that_clocks_leave_out_is_left_out_and_one_that_comes_twice_is_due_once() -> None:
    spring = datetime(2026, 3, 28, tzinfo=UTC)  # on the 29th 2:00 becomes 3:00
    assert due("cron(30 2 * * ? *)", 2, "Europe/Berlin", spring) == ["2026-03-28T01:30", "2026-03-30T00:30"]
    autumn = datetime(2026, 10, 25, tzinfo=UTC)  # 3:00 becomes 2:00
    assert due("cron(30 2 * * ? *)", 2, "Europe/Berlin", autumn) == ["2026-10-25T00:30", "2026-10-26T01:30"]
    assert due("rate(1 day)", 2, "Europe/Berlin", spring) == ["2026-03-28T00:00", "2026-03-29T00:00"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no schedule; write at(yyyy-mm-ddThh:mm:ss), rate(VALUE UNIT) or cron(SIX FIELDS)"),
        ("0 2 * * *", "is no schedule"),
        ("rate(0 minutes)", "is no rate; write a whole number from 1"),
        ("rate(5 seconds)", "is no rate"),
        ("rate(99999999999999 days)", "is longer than a clock goes"),
        ("at(2026-02-30T00:00:00)", "is no time"),
        ("at(2026-02-01)", "is no time"),
        ("cron(0 2 * * *)", "has 5 fields; it has six"),
        ("cron(0 2 * * * *)", "one of day of month (*) and day of week (*) is ?, and not both"),
        ("cron(0 2 ? * ? *)", "one of day of month (?) and day of week (?) is ?, and not both"),
        ("cron(60 2 * * ? *)", "minutes '60': '60' is not from 0 to 59"),
        ("cron(0 24 * * ? *)", "hours '24': '24' is not from 0 to 23"),
        ("cron(0 2 0 * ? *)", "day of month '0': '0' is not from 1 to 31"),
        ("cron(0 2 32W * ? *)", "day of month '32W': '32' is not from 1 to 31"),
        ("cron(0 2 LW * ? *)", "day of month 'LW': 'LW' is not from 1 to 31"),
        ("cron(0 2 * FOO ? *)", "month 'FOO': 'FOO' is not from 1 to 12, or JAN, FEB"),
        ("cron(0 2 ? * 8 *)", "day of week '8': '8' is not from 1 to 7, or SUN, MON"),
        ("cron(0 2 ? * 0 *)", "is not from 1 to 7"),
        ("cron(0 2 ? * 3#6 *)", "day of week '3#6': '3#6' is no value, range or step"),
        ("cron(0 2 ? * 3#1,3#2 *)", "is no value, range or step"),
        ("cron(0 2 * * ? 2200)", "year '2200': '2200' is not from 1970 to 2199"),
        ("cron(30-10 2 * * ? *)", "'30-10' ends before it begins"),
        ("cron(0/0 2 * * ? *)", "a step is at least 1"),
        ("cron(1,,2 2 * * ? *)", "'' is no value, range or step"),
        ("cron(٣ 2 * * ? *)", "is not from 0 to 59"),
    ],
)
def test_what_is_no_schedule_is_refused_with_its_part(text: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(why)):
        parse_expression(text)


def test_a_time_zone_that_is_none_and_a_time_that_never_is() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ScheduleError, match="is no time zone; write one of IANA's"):
            parse_expression("cron(0 2 * * ? *)", zone)
    with pytest.raises(ScheduleError, match="does not exist in Europe/Berlin"):
        parse_expression("at(2026-03-29T02:30:00)", "Europe/Berlin")


def field(least: int, most: int) -> st.SearchStrategy[str]:
    value = st.integers(least, most)
    ranges = st.tuples(value, value).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.one_of(st.just("*"), value.map(str), ranges), st.integers(1, most)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    one = st.one_of(value.map(str), ranges, steps, st.just("*"))
    return st.lists(one, min_size=1, max_size=3).map(",".join)


def holds(text: str, value: int, least: int, most: int) -> bool:
    """Whether a field names a value, read part by part."""
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        low = least if first == "*" else int(first)
        high = int(last or (most if step or first == "*" else first))
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


@given(
    field(0, 59),
    field(0, 23),
    field(1, 31),
    field(1, 12),
    field(1, 7),
    st.booleans(),
    st.integers(0, 700_000),
)
@settings(max_examples=60)
def test_cron_is_due_at_every_minute_that_its_fields_name(
    minutes: str, hours: str, days: str, months: str, week: str, by_week: bool, offset: int
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = START + timedelta(minutes=offset)
    fields = f"{minutes} {hours} ? {months} {week} *" if by_week else f"{minutes} {hours} {days} {months} ? *"
    end = start + timedelta(days=2)
    expected = []
    for number in range(2 * 24 * 60):
        moment = start + timedelta(minutes=number)
        local = moment.astimezone(zone)
        of_day = holds(week, local.isoweekday() % 7 + 1, 1, 7) if by_week else holds(days, local.day, 1, 31)
        if (
            of_day
            and local.fold == 0
            and holds(minutes, local.minute, 0, 59)
            and holds(hours, local.hour, 0, 23)
            and holds(months, local.month, 1, 12)
        ):
            expected.append(moment)
    found = []
    for moment in parse_expression(f"cron({fields})", "Europe/Berlin").due(start):
        if moment >= end:
            break
        found.append(moment)
    assert found == expected


@given(st.integers(2000, 2100), st.integers(1, 12), st.integers(1, 31))
def test_the_nearest_weekday_is_near_a_weekday_and_in_its_month(year: int, month: int, day: int) -> None:
    if day > calendar.monthrange(year, month)[1]:
        return
    text = f"cron(0 0 {day}W {month} ? {year})"
    (moment,) = parse_expression(text).due(datetime(1999, 1, 1, tzinfo=UTC))
    assert (moment.year, moment.month) == (year, month)
    assert moment.isoweekday() <= 5
    assert abs(moment.day - day) <= (2 if moment.isoweekday() in (1, 5) else 0)
