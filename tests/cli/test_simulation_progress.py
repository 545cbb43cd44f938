"""What is seen of a simulation: a line on a terminal, which is gone at the end, and nothing new elsewhere."""

import io
import re
from typing import Any

import pytest

from fanwise_cli.simulation_progress import SimulationProgress, simulation_shown
from fanwise_cli.summary import lasted
from fanwise_cli.terminal import JobConsole
from fanwise_local.simulation import Counts, Scenario, simulate
from fanwise_local.states.executions import Execution
from fanwise_local.states.map_run import Child, MapRun
from fanwise_local.states.payloads import JSON
from local.simulation.scenarios import scenario
from terminals import screen

TERMINAL: dict[str, Any] = {"force_terminal": True, "force_interactive": True, "_environ": {"TERM": "xterm"}}


class Watched(Counts):
    """Counts at which somebody looks whenever a state begins and a child ends."""

    def __init__(self, of: Scenario) -> None:
        super().__init__()
        self.progress = SimulationProgress(self, of.work.entries)
        self.phases: list[str] = []
        self.ended: list[tuple[str, int, int]] = []

    def state_entered(self, execution: Execution, state_name: str, state_input: JSON) -> None:
        super().state_entered(execution, state_name, state_input)
        if state_name != "PredictItems":  # which is looked at when it has a Map Run
            self._look()

    def child_ended(self, map_run: MapRun, child: Child) -> None:
        super().child_ended(map_run, child)
        self._look()
        self.ended.append((self.progress.phase, self.progress.ended, self.progress.total))

    def _look(self) -> None:
        if self.progress.phase not in self.phases[-1:]:
            self.phases.append(self.progress.phase)


def test_every_round_is_followed_from_its_first_batch_to_its_last() -> None:
    """200 children in an account of 4: most give up, and are predicted in a later round."""
    of = scenario(200, max_concurrency=200, account_concurrency=4, batch_size=1000)
    counts = Watched(of)
    assert (counts.progress.phase, counts.progress.ended, counts.progress.total) == ("planning", 0, 200)
    played = simulate(of, counts)
    assert len(played.rounds) > 1
    rounds = ["predicting", *(f"predicting (round {number + 2})" for number in range(len(played.rounds) - 1))]
    assert counts.ended == [
        (phase, ended + 1, round_.entries)
        for phase, round_ in zip(rounds, played.rounds, strict=True)
        for ended in range(round_.entries)
    ]
    assert counts.progress.reached == f"at {lasted(played.duration_s)}"
    assert counts.progress.running == "0 running"
    told = [phase for phase in counts.phases if phase != "between rounds"]
    begin = ["planning", "trying the model"]
    assert told == [*begin, *(phase for round_ in rounds for phase in (round_, "accounting"))]
    assert ("between rounds" in counts.phases) == (played.parts_s.waits > 0)


def test_what_runs_is_told_while_it_runs() -> None:
    of = scenario(30)
    seen: set[str] = set()

    class Looking(Watched):
        def running_changed(self, running: int) -> None:
            super().running_changed(running)
            seen.add(self.progress.running)

    simulate(of, Looking(of))
    assert seen == {f"{running} running" for running in range(31)}


def shown(of: Scenario, *, quiet: bool = False, **console: Any) -> str:
    """What a console is sent while a scenario is played."""
    file, counts = io.StringIO(), Counts()
    with simulation_shown(JobConsole(file=file, **console), of.work.entries, counts, quiet=quiet):
        simulate(of, counts)
    return file.getvalue()


@pytest.mark.parametrize("width", [72, 80, 200])
def test_the_line(width: int) -> None:
    sent = shown(scenario(30), width=width, **TERMINAL)
    last = screen(sent.rpartition("\x1b[1A\x1b[2K")[0])
    assert len(last) == 1
    assert len(last[0]) <= width
    words = re.sub(r"[━╸╺]+", "|", last[0]).split()
    assert " ".join(words[1:]) == "accounting | 30/30 batches at 7.3 s 0 running"


@pytest.mark.parametrize("width", [10, 25, 50, 71])
def test_no_terminal_is_too_narrow(width: int) -> None:
    sent = shown(scenario(30), width=width, **TERMINAL)
    last = screen(sent.rpartition("\x1b[1A\x1b[2K")[0])
    assert [len(line) <= width for line in last] == [True]
    if width >= 50:
        assert " ".join(last[0].split()[1:]) == "accounting 30/30 at 7.3 s 0 running"


def test_nothing_is_left_of_it() -> None:
    sent = shown(scenario(30), width=80, **TERMINAL)
    assert screen(sent) == []
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # the cursor


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}])
def test_elsewhere_there_is_nothing_new(environment: dict[str, str]) -> None:
    """One line, if it takes longer than a second."""
    sent = shown(scenario(3), width=80, _environ=environment, force_terminal=bool(environment))
    assert sent in ("", "simulating 3 batches …\n")


def test_quiet_is_quiet() -> None:
    assert shown(scenario(3), quiet=True, width=80, **TERMINAL) == ""
