"""The summary: the verdict, what it took and where the results are, at any size and on any terminal."""

import io
from pathlib import Path
from typing import Any

import pytest

from fanwise_cli.summary import dollars, lasted, print_summary
from fanwise_cli.terminal import JobConsole

OUT = Path("results/of today")


def summary(**changes: Any) -> dict[str, Any]:
    """A job in which nothing went wrong; `changes` go into it, and into what it has inside."""
    made: dict[str, Any] = {
        "status": "SUCCEEDED",
        "reason": None,
        "model": {"name": "digits", "version": "3", "runtime": "tensorflow"},
        "items": {"total": 2000, "predicted": 2000, "dead_lettered": 0, "missing": 0},
        "entries": {"planned": 8, "cut": 0, "died": 0},
        "rounds": 1,
        "invocations": 8,
        "cold_starts": 2,
        "duration_s": 10.04,
        "items_per_s": 199.2,
        "billed_gb_s": 27.94,
        "cost_usd": {"total": 0.00123, "prices": "us-east-1 x86_64 2026-08"},
        "failures": {},
    }
    for key, value in changes.items():
        made[key] = {**made[key], **value} if isinstance(value, dict) and key != "failures" else value
    return made


def printed(made: dict[str, Any], extra: dict[str, str] | None = None, **console: Any) -> str:
    file = io.StringIO()
    print_summary(JobConsole(file=file, **console), made, OUT, extra=extra or {})
    return file.getvalue()


def test_when_nothing_went_wrong() -> None:
    assert printed(summary(), {"accuracy": "99.00 %"}) == (
        "✔ SUCCEEDED  2,000 of 2,000 items predicted in 10.0 s (199 items/s)\n"
        "  accuracy   99.00 %\n"
        "  model      digits@3 (tensorflow)\n"
        "  work       8 invocations in 1 round, 2 cold starts\n"
        "  on Lambda  27.9 GB-s, about $0.0012 at list price (us-east-1 x86_64 2026-08)\n"
        "  results    results/of today/predictions.jsonl\n"
        "  summary    results/of today/summary.json\n"
    )


def test_dead_letters_and_deaths() -> None:
    text = printed(
        summary(
            status="PARTIALLY_FAILED",
            items={"predicted": 1990, "dead_lettered": 10},
            entries={"died": 2},
            failures={"UndecodableImage": 9, "NotFound": 1},
            rounds=3,
        )
    )
    assert text.startswith("! PARTIALLY_FAILED  1,990 of 2,000 items predicted, 10 dead letters in 10.0 s")
    assert "\n  dead letters  UndecodableImage 9, NotFound 1\n" in text
    assert "8 invocations in 3 rounds, 2 cold starts, 2 died and were cut" in text
    assert "\n  failures      results/of today/failures.jsonl, itself an items file\n" in text


def test_one_of_each_is_not_many() -> None:
    one = summary(
        items={"total": 1, "predicted": 0, "dead_lettered": 1},
        entries={"died": 1},
        invocations=1,
        cold_starts=1,
        failures={"NotJson": 1},
    )
    text = printed(one)
    assert "0 of 1 item predicted, 1 dead letter in" in text
    assert "1 invocation in 1 round, 1 cold start, 1 died and was cut" in text


def test_many_kinds_of_errors_are_counted() -> None:
    text = printed(summary(failures={f"Error{n}": 2000 - n for n in range(7)}))
    assert "Error0 2,000, Error1 1,999, Error2 1,998, Error3 1,997, Error4 1,996 and 2 other kinds\n" in text


def test_a_reason_and_what_is_missing() -> None:
    text = printed(
        summary(
            status="FAILED",
            reason="after 4 rounds\n[bold]gone[/bold]",
            items={"predicted": 0, "missing": 2000},
        )
    )
    first, second, *_, last = text.splitlines()
    assert first.startswith("✘ FAILED  0 of 2,000 items predicted, 2,000 missing in")
    assert second == "  after 4 rounds [bold]gone[/bold]"
    assert last == "  to go on   fanwise resume 'results/of today' tries the 2,000 missing items again"


def test_no_items() -> None:
    nothing = summary(items={"total": 0, "predicted": 0}, duration_s=0.6, items_per_s=0.0, invocations=0)
    assert printed(nothing).startswith("✔ SUCCEEDED  there were no items to predict\n")


def test_big_numbers() -> None:
    big = summary(
        items={"total": 123_456_789, "predicted": 123_456_789},
        invocations=482_253,
        duration_s=12_345.6,
        items_per_s=10_000.1,
        billed_gb_s=1_234_567.8,
        cost_usd={"total": 1234.5},
    )
    text = printed(big)
    assert "123,456,789 of 123,456,789 items predicted in 3 h 26 min (10,000 items/s)" in text
    assert "482,253 invocations" in text
    assert "1,234,567.8 GB-s, about $1,234.50 at" in text


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_path_stays_whole_on_a_narrow_terminal(width: int) -> None:
    lines = printed(summary(), width=width, force_terminal=True, color_system=None).splitlines()
    assert "  results    results/of today/predictions.jsonl" in lines


def test_words_stay_whole_on_a_narrow_terminal_and_lines_elsewhere() -> None:
    narrow = printed(summary(), width=40, force_terminal=True, color_system=None).splitlines()
    assert narrow[:2] == ["✔ SUCCEEDED  2,000 of 2,000 items ", "predicted in 10.0 s (199 items/s)"]
    assert printed(summary(), width=40) == printed(summary(), width=400)


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1;32m✔ SUCCEEDED" in printed(summary(), force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "32m" not in printed(summary(), force_terminal=True)
    assert "\x1b" not in printed(summary())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (5400, "1 h 30 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.0000"), (0.00004, "less than $0.0001"), (0.0007, "$0.0007"), (0.99, "$0.9900"), (1, "$1.00")],
)
def test_prices(amount: float, text: str) -> None:
    assert dollars(amount) == text
