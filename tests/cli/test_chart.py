"""The chart of a terminal: what is drawn where, how wide, and in which characters."""

import io

import pytest

from fanwise_cli.chart import HEIGHT, Series, chart, moment
from fanwise_cli.terminal import JobConsole

LABELS = ("running", "waiting", "limit")


def drawn(series: Series, limits: list[float], *, width: int = 60, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = JobConsole(file=file, width=width)
    return [line.plain for line in chart(console, series, limits, LABELS)]


def test_what_waits_stands_on_what_runs() -> None:
    lines = drawn(Series([500] * 40, [500] * 40, 10.0), [])
    bars = [line.partition("┤")[2] or line.partition("│")[2] for line in lines[:HEIGHT]]
    assert all(set(bar) == {"░"} for bar in bars[: HEIGHT // 2])
    assert all(set(bar) == {"█"} for bar in bars[HEIGHT // 2 :])
    assert lines[0].startswith(" 1,000┤")
    assert lines[HEIGHT // 2].startswith("   500┤")
    assert lines[-1].split() == ["█", "running", "░", "waiting"]


def test_the_curve_is_where_its_time_is() -> None:
    lines = drawn(Series([0] * 50 + [100] * 50, [0] * 100, 200.0), [])
    bottom = lines[HEIGHT - 1].partition("│")[2]
    half = len(bottom) // 2
    assert set(bottom[:half].strip() or " ") == {" "}
    assert set(bottom[half + 1 :]) == {"█"}
    assert lines[HEIGHT + 1].split() == ["0", "0:50", "1:40", "2:30", "3:20"]


def test_a_little_shows_and_nothing_does_not() -> None:
    lines = drawn(Series([1000, 1, 0, 0], [0] * 4, 4.0), [])
    bottom = lines[HEIGHT - 1].partition("│")[2]
    assert [bottom[len(bottom) * at // 8] for at in (1, 3, 5, 7)] == ["█", "▁", " ", " "]


@pytest.mark.parametrize(("limit", "shown"), [(1000, True), (1400, True), (3000, False), (100, False)])
def test_a_limit_is_drawn_where_the_curve_comes_near_it(limit: float, shown: bool) -> None:
    lines = drawn(Series([1000, 0, 0, 0], [0] * 4, 4.0), [limit])
    assert any("┄" in line for line in lines[:HEIGHT]) is shown
    assert any(f"{limit:,}┤" in line for line in lines[:HEIGHT]) is (shown or limit == 1000)


@pytest.mark.parametrize("width", [40, 80, 300])
def test_it_is_as_wide_as_the_console_and_not_too_wide(width: int) -> None:
    lines = drawn(Series([1.0] * 600, [2.0] * 600, 9000.0), [3.0], width=width)
    assert max(map(len, lines)) <= min(width, 100)
    assert max(map(len, lines[:HEIGHT])) >= min(width, 100) - 2


def test_a_console_that_is_too_narrow_has_none() -> None:
    assert drawn(Series([1], [0], 1.0), [], width=20) == []


def test_an_encoding_without_blocks_has_its_own_characters() -> None:
    lines = drawn(Series([1000] * 40, [500] * 40, 10.0), [1500], encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert "#" in lines[HEIGHT - 1] and "." in lines[1]


def test_nothing_at_all_is_an_empty_chart() -> None:
    assert len(drawn(Series([], [], 0.0), [])) == HEIGHT + 3


@pytest.mark.parametrize(
    ("at_s", "of_s", "told"),
    [
        (0, 500, "0"),
        (1.25, 5, "1.2 s"),
        (30, 60, "30 s"),
        (125, 250, "2:05"),
        (3725, 8000, "1:02:05"),
        (59.9, 120, "1:00"),
    ],
)
def test_moments(at_s: float, of_s: float, told: str) -> None:
    assert moment(at_s, of_s) == told
