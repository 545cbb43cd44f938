"""Progress: a bar on a terminal, plain lines elsewhere, nothing when quiet; the count of a job that goes on."""

import io
import re
import threading
from typing import Any

import pytest

from fanwise_cli.progress import JobProgress, Ledger, a_second, time_left, waiting
from fanwise_cli.terminal import JobConsole
from fanwise_local.clock import Clock as MachineClock
from fanwise_local.states.executions import Execution
from fanwise_local.states.history import History
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.observer import Observer
from ledger import BUCKET, JOB_ID
from ledger import Ledger as JobLedger

TOTAL = 100_000


class Clock:
    """Seconds, as far as a test lets them pass."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class StoppedClock(MachineClock):
    """A machine's clock without an event loop."""

    def __init__(self) -> None:
        pass

    def now(self) -> float:
        return 0.0


class Told:
    """A progress, what it is told, and what it prints."""

    def __init__(
        self, *, quiet: bool = False, dead_before: int = 0, total: int = TOTAL, **console: Any
    ) -> None:
        self.file = io.StringIO()
        self.clock = Clock()
        self.ledger = FakeLedger(total, dead_before)
        self.progress = JobProgress(
            JobConsole(file=self.file, **console), quiet=quiet, ledger=self.ledger, clock=self.clock
        )
        stopped = StoppedClock()
        self._execution = Execution(
            "arn", "name", {}, clock=stopped, observer=Observer(), history=History(stopped)
        )
        self._map_run = MapRun(
            arn="arn",
            execution_arn="arn",
            state_machine_arn="arn",
            label="PredictItems",
            max_concurrency=10,
            tolerated_failure_percentage=100,
            tolerated_failure_count=0,
            start_date=0,
        )

    def enters(self, state: str, **state_input: Any) -> None:
        self.progress.state_entered(self._execution, state, {"job_id": JOB_ID, **state_input})

    def predicts(self, predicted: int, dead_lettered: int = 0, after_s: float = 1.0) -> None:
        """A child ends."""
        self.clock.now_s += after_s
        child = Child("arn", "child", 0, {}, 0)
        child.output = {"entry": "0", "predicted": predicted, "dead_lettered": dead_lettered, "rest": 0}
        self.progress.child_ended(self._map_run, child)

    def fails(self) -> None:
        """A child ends without an output."""
        self.progress.child_ended(self._map_run, Child("arn", "child", 0, {}, 0))

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    @property
    def last_frame(self) -> str:
        """What a terminal showed before the bar was taken away."""
        frames = re.split(r"\x1b\[2K|\r", self.file.getvalue())
        shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame).strip("\n") for frame in frames]
        return [frame for frame in shown if frame.strip()][-1]


class FakeLedger(Ledger):
    def __init__(self, total: int, dead_lettered: int) -> None:
        self._total, self._dead_lettered = total, dead_lettered

    def total(self, job_id: str) -> int:
        assert job_id == JOB_ID
        return self._total

    def dead_lettered(self, job_id: str) -> int:
        assert job_id == JOB_ID
        return self._dead_lettered


TERMINAL: dict[str, Any] = {
    "force_terminal": True,
    "force_interactive": True,
    "color_system": None,
    "legacy_windows": False,
    "_environ": {},
}


def whole_job(told: Told) -> None:
    """A job with a probe, dead letters, a death and a wait, to its last round."""
    with told.progress:
        told.enters("PlanJob")
        told.enters("ProbeModel")
        told.enters("AnyWork")
        told.enters("PredictItems", decided=0, round=0)
        told.predicts(20_000, after_s=20)
        told.predicts(19_999, dead_lettered=1)
        told.fails()
        told.predicts(20_000, after_s=5)
        told.enters("AggregateResults")
        told.enters("WaitBeforeRound", wait_s=60)
        told.clock.now_s += 60
        told.enters("PredictItems", decided=60_000, round=1)
        told.predicts(39_998, dead_lettered=2, after_s=14)
        told.enters("AggregateResults")


def test_plain_lines() -> None:
    told = Told()
    whole_job(told)
    assert told.lines == [
        "trying the model",
        "loading the model  0/100,000 items",
        "predicting  20,000/100,000 items  1,000/s  1:20 left",
        "predicting  60,000/100,000 items  2,308/s  0:17 left  1 dead letter",
        "accounting  60,000/100,000 items  2,308/s  0:17 left  1 dead letter",
        "waiting 60 s before the next round  60,000/100,000 items  2,308/s  0:17 left  1 dead letter",
        "predicting (round 2)  60,000/100,000 items  2,308/s  1 dead letter",
        "predicting (round 2)  100,000/100,000 items  1,000/s  3 dead letters",
        "accounting  100,000/100,000 items  1,000/s  3 dead letters",
    ]


def test_plain_lines_come_every_five_seconds_and_not_with_each_child() -> None:
    told = Told()
    with told.progress:
        told.enters("PredictItems", decided=0, round=0)
        for _ in range(100):
            told.predicts(10, after_s=0.25)
    assert len(told.lines) == 2 + 5 - 1


def test_a_job_that_goes_on_counts_from_where_it_was() -> None:
    told = Told(dead_before=7)
    with told.progress:
        told.enters("PredictItems", decided=60_000, round=3)
        assert told.progress.rate is None
        told.predicts(999, dead_lettered=1, after_s=10)
    assert told.lines == [
        "loading the model  60,000/100,000 items  7 dead letters",
        "predicting  61,000/100,000 items  100/s  6:30 left  8 dead letters",
    ]
    assert told.progress.done == 61_000


def test_time_left_runs_down_while_nothing_ends() -> None:
    told = Told()
    told.enters("PredictItems", decided=0, round=0)
    assert told.progress.time_left == ""
    told.predicts(10_000, after_s=10)
    assert told.progress.time_left == "1:30 left"
    told.clock.now_s += 30
    assert told.progress.time_left == "1:00 left"
    told.clock.now_s += 1000
    assert told.progress.time_left == ""


def test_quiet_prints_nothing_and_counts_all_the_same() -> None:
    for console in ({}, TERMINAL):
        told = Told(quiet=True, **console)
        whole_job(told)
        assert told.file.getvalue() == ""
        assert (told.progress.done, told.progress.dead_lettered) == (100_000, 3)


@pytest.mark.parametrize("width", [72, 80, 200])
def test_the_bar(width: int) -> None:
    told = Told(width=width, **TERMINAL)
    with told.progress:
        told.enters("PredictItems", decided=0, round=0)
        told.predicts(24_988, dead_lettered=12, after_s=10)
    frame = told.last_frame
    assert len(frame) <= width
    words = re.sub(r"[━╸╺]+", "|", frame).split()
    assert " ".join(words[1:]) == "predicting | 25,000/100,000 items 2,500/s 0:30 left 12 dead letters"


@pytest.mark.parametrize("width", [40, 60, 71])
def test_on_a_narrow_terminal_words_come_before_the_bar(width: int) -> None:
    told = Told(width=width, total=5_000, **TERMINAL)
    with told.progress:
        told.enters("PredictItems", decided=0, round=0)
        told.predicts(498, after_s=10)
        told.predicts(0, dead_lettered=2, after_s=0)
    assert len(told.last_frame) <= width
    assert " ".join(told.last_frame.split()[1:]) == "predicting 500/5,000 1:30 left 2 dead"


@pytest.mark.parametrize("width", [5, 10, 25])
def test_no_terminal_is_too_narrow(width: int) -> None:
    told = Told(width=width, **TERMINAL)
    whole_job(told)
    assert all(len(line) <= width for line in told.last_frame.splitlines())


def test_before_the_plan_is_known_there_are_no_numbers() -> None:
    told = Told(width=80, **TERMINAL)
    with told.progress:
        told.enters("PlanJob")
    words = re.sub(r"[━╸╺]+", "|", told.last_frame).split()
    assert " ".join(words[1:]) == "planning | 0 dead letters"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminals_that_want_less(environment: dict[str, str]) -> None:
    told = Told(width=80, force_terminal=True, _environ={"TERM": "xterm-256color", **environment})
    whole_job(told)
    text = told.file.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)  # no colour
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in text
        assert "accounting  100,000/100,000 items  1,000/s  3 dead letters" in told.lines


def test_the_ledger_counts_the_dead_letters_of_the_commits() -> None:
    made = JobLedger([10, 10, 10])
    ledger = Ledger(made.storage, f"s3://{BUCKET}/")
    assert (ledger.total(JOB_ID), ledger.dead_lettered(JOB_ID)) == (30, 0)
    made.commit(made.entries[0], dead=2)
    made.commit(made.entries[2], dead=3)
    assert ledger.dead_lettered(JOB_ID) == 5


def test_waiting_is_said_where_it_takes_long() -> None:
    file = Heard()
    with waiting(JobConsole(file=file), "preparing the model", quiet=False, patience_s=0):
        assert file.heard.wait(60)
    assert file.getvalue() == "preparing the model …\n"
    for quiet, patience_s in ((False, 1000.0), (True, 0.0)):
        file = Heard()
        with waiting(JobConsole(file=file), "preparing the model", quiet=quiet, patience_s=patience_s):
            pass
        assert file.getvalue() == ""


def test_waiting_on_a_terminal_is_a_spinner_that_goes_away() -> None:
    file = io.StringIO()
    with waiting(JobConsole(file=file, width=40, **TERMINAL), "preparing the model", quiet=False):
        pass
    assert "preparing the model" in file.getvalue()
    assert file.getvalue().rstrip().endswith(("\x1b[2K", "\x1b[?25h"))


class Heard(io.StringIO):
    """Says when a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def flush(self) -> None:
        super().flush()
        if self.getvalue():
            self.heard.set()


@pytest.mark.parametrize(
    ("items", "rate", "text"),
    [
        (0, 10.0, ""),
        (-5, 10.0, ""),
        (10, None, ""),
        (10, 0.0, ""),
        (1, 10.0, "0:00 left"),
        (65, 1.0, "1:05 left"),
        (3600, 1.0, "1:00:00 left"),
        (7384, 1.0, "2:03:04 left"),
        (360_000, 1.0, "100:00:00 left"),
    ],
)
def test_time_left(items: float, rate: float | None, text: str) -> None:
    assert time_left(items, rate) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0.25, "0.25"), (0, "0"), (7.54, "7.5"), (9.99, "10"), (1239.6, "1,240")]
)
def test_rates(rate: float, text: str) -> None:
    assert a_second(rate) == text
