"""The benchmarks' own arithmetic, what they read of a job and what they write. Nothing here is timed."""

import asyncio
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from benchmarks import runtime_hop_process
from benchmarks.cold import Cold
from benchmarks.comparison import (
    ONCE,
    Agreement,
    Answer,
    Comparison,
    Contender,
    Measured,
    Throughput,
    agreement,
    compare,
)
from benchmarks.comparison_tables import Ratio, chart_of, table_of
from benchmarks.cost import Alone, Costs, Plan, Way, instance, way_alone, way_planned
from benchmarks.drawing import draw, short
from benchmarks.errors import BenchmarkError
from benchmarks.fanwise_run import commit_ramp, commits_of
from benchmarks.growth import Growth, exponent
from benchmarks.growth_data import write_decided_job, write_items
from benchmarks.growth_process import Measure, Work
from benchmarks.growth_process import measure as measure_growth
from benchmarks.interpreter import Interpreter
from benchmarks.interpreter_process import RUNNERS, MapRunMeasure, StubServices, shipped_machine
from benchmarks.jpegs.part import PredictionLine, Top, best_of
from benchmarks.machine import kind_of, this_machine
from benchmarks.part import Run
from benchmarks.parts import PARTS, tables_of
from benchmarks.peers import run_peer
from benchmarks.peers import versions as peer_versions
from benchmarks.processes import Finished, environment, run_process
from benchmarks.rates import Ramp, median_ratio, reached_s, spread, steady_items_per_s
from benchmarks.report import BEGIN, END, with_measured, write_report
from benchmarks.results import (
    Machine,
    Results,
    latest_by_kind,
    read_results,
    write_results,
)
from benchmarks.rows.lines import mini_batches, shares
from benchmarks.runtime_hop import RuntimeHop
from benchmarks.runtime_hop_process import HopMeasure
from benchmarks.tables import as_markdown, for_terminal
from benchmarks.told import follow_each_other
from hypothesis import given
from hypothesis import strategies as st

from fanwise.records import Commit, Invocation
from fanwise_local.states.executions import Execution

MACHINE = Machine(
    cpu="Some CPU @ 2.60GHz",
    cores=2,
    memory_gb=24,
    system="Linux x86_64",
    python="3.11.2",
    tensorflow="2.21.0",
)


def throughput(repetition: int, steady: float) -> Throughput:
    return Throughput(
        repetition=repetition, steady_items_per_s=steady, whole_items_per_s=steady / 2, processor_s=40.0
    )


def measured(name: str, *steady: float, kind: str = "loop", other_label: int = 0) -> Measured:
    return Measured(
        name=name,
        kind=msgspec.convert(kind, Literal["fanwise", "loop", "peer"]),
        runtime="LiteRT",
        runs=tuple(throughput(i, rate) for i, rate in enumerate(steady)),
        peak_memory_mb=190.0,
        agreement=Agreement(compared=6000, other_label=other_label, other_score=0, largest_difference=2e-6),
    )


def comparison(*contenders: Measured, **absent: str) -> Comparison:
    return Comparison(items=2000, measured=contenders, absent=absent)


JPEGS = comparison(
    measured("loop by hand, LiteRT", 80.0, 84.0, 60.0),
    measured("fanwise, LiteRT", 79.0, 84.0, 79.0, kind="fanwise"),
    measured("Ray Data, oneDNN on", 40.0, kind="peer"),
)


def map_run(**more: float) -> MapRunMeasure:
    measure = MapRunMeasure(
        children=10_000,
        max_concurrency=1_000,
        duration_s=10.0,
        processor_s=1.5,
        peak_memory_mb=110.0,
        most_in_flight=1_000,
        mean_in_flight=947.0,
        pinned=True,
    )
    return msgspec.structs.replace(measure, **more)


def interpreter(**more: float) -> Interpreter:
    return Interpreter(virtual=(map_run(**more),), real=(map_run(),))


def results(**more: object) -> Results:
    parts: dict[str, msgspec.Struct] = {"jpegs": JPEGS, "interpreter": interpreter()}
    base = Results(
        fanwise="0.1.0",
        date="2026-11-24",
        machine=MACHINE,
        quick=False,
        load_before=0.1,
        parts={name: msgspec.json.decode(msgspec.json.encode(left)) for name, left in parts.items()},
    )
    return msgspec.structs.replace(base, **more)


# The arithmetic


def test_one_even_ramp_has_its_own_rate_in_the_middle() -> None:
    assert reached_s([Ramp(10, 20, 100)], 10) == 11
    assert steady_items_per_s([Ramp(10, 20, 100)]) == pytest.approx(10)


def test_what_is_slow_at_either_end_is_not_the_steady_state() -> None:
    slow_edges = [Ramp(0, 100, 10), Ramp(100, 104, 80), Ramp(104, 204, 10)]
    assert steady_items_per_s(slow_edges) == pytest.approx(20)


def test_ramps_at_once_add_up_and_gaps_count() -> None:
    assert steady_items_per_s([Ramp(0, 10, 50), Ramp(0, 10, 50)]) == pytest.approx(10)
    with_a_gap = [Ramp(0, 5, 50), Ramp(15, 20, 50)]
    assert steady_items_per_s(with_a_gap) == pytest.approx(80 / 18)
    assert reached_s(with_a_gap, 50) == 5  # the earliest moment, not the end of the gap


def test_a_ramp_of_no_length_is_a_jump() -> None:
    assert reached_s([Ramp(0, 10, 10), Ramp(4, 4, 100)], 50) == 4
    assert reached_s([Ramp(0, 10, 10), Ramp(4, 4, 100)], 110) == 10
    with pytest.raises(ValueError, match="took no time"):
        steady_items_per_s([Ramp(4, 4, 100)])


@pytest.mark.parametrize("ramps", [[], [Ramp(0, 1, 0)], [Ramp(0, 1, 9)]])
def test_what_was_never_done_has_no_moment(ramps: list[Ramp]) -> None:
    with pytest.raises(ValueError, match="never done"):
        reached_s(ramps, 10)


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 500)), min_size=1, max_size=8
    ),
    st.integers(2, 9),
)
def test_how_finely_a_ramp_is_told_changes_nothing(spans: list[tuple[int, int, int]], pieces: int) -> None:
    epoch_s = 1_790_000_000.0  # as commits have it: much larger than what is measured
    coarse = [Ramp(epoch_s + start, epoch_s + start + length, n * pieces) for start, length, n in spans]
    fine = [
        Ramp(
            r.start_s + (r.end_s - r.start_s) * i / pieces,
            r.start_s + (r.end_s - r.start_s) * (i + 1) / pieces,
            n,
        )
        for r, (_, _, n) in zip(coarse, spans, strict=True)
        for i in range(pieces)
    ]
    assert steady_items_per_s(fine) == pytest.approx(steady_items_per_s(coarse), rel=1e-4)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 90)), min_size=1, max_size=8)
)
def test_later_items_are_done_no_earlier_and_all_when_the_last_ramp_ends(
    spans: list[tuple[int, int, int]],
) -> None:
    ramps = [Ramp(start, start + length, count) for start, length, count in spans]
    total = sum(ramp.count for ramp in ramps)
    moments = [reached_s(ramps, total * tenth / 10) for tenth in range(1, 11)]
    assert all(before <= after + 1e-9 for before, after in itertools.pairwise(moments))
    assert moments[0] >= min(ramp.start_s for ramp in ramps)
    assert moments[-1] == pytest.approx(max(ramp.end_s for ramp in ramps))


def test_ratios_are_taken_pair_by_pair() -> None:
    # A machine that is half as fast in one repetition is so for both: no ratio changes.
    assert median_ratio([9, 4, 10], [10, 5, 10]) == 0.9
    assert spread([80, 84, 60]) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        median_ratio([1, 2], [1])


# What is read of the loop and of a job


def test_mini_batches_follow_each_other() -> None:
    assert follow_each_other(5.0, [(6.0, 32), (8.0, 32), (8.5, 6)]) == [
        (5.0, 6.0, 32),
        (6.0, 8.0, 32),
        (8.0, 8.5, 6),
    ]


def commit(**more: object) -> Commit:
    invocation = Invocation(
        request_id="r", duration_ms=7000, load_ms=2000, init_ms=4000, cold=True, gets=258, puts=3
    )
    base = Commit(entry="0", attempt=1, invocation=invocation, predicted=250, dead_lettered=6)
    return msgspec.structs.replace(base, **more)


def test_a_commit_tells_when_its_items_were_done(tmp_path: Path) -> None:
    folder = tmp_path / ".fanwise/buckets/fanwise-results-1/jobs/abc/commits"
    folder.mkdir(parents=True)
    (folder / "0.json").write_bytes(msgspec.json.encode(commit()))
    now_s = time.time()
    os.utime(folder / "0.json", (now_s - 100, now_s - 100))
    ((found, ended_s),) = commits_of(tmp_path, "abc")
    assert found == commit()
    assert ended_s == pytest.approx(time.monotonic() - 100, abs=5)
    assert commit_ramp(found, 1000) == Ramp(995, 1000, 256)
    with pytest.raises(BenchmarkError, match="no commits of the job def"):
        commits_of(tmp_path, "def")


FINISHED = Finished(started_s=0.0, ended_s=20.0, processor_s=30.0, stdout=b"", peak_memory_mb=64.0)
SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.3, 0.3001, 0.3999]], np.float32)


def answer(scores: np.ndarray, labels: np.ndarray | None = None) -> Answer:
    return Answer(FINISHED, [Ramp(10, 20, len(scores))], 20.0, scores, labels)


def lines_of(scores: np.ndarray) -> list[PredictionLine]:
    best = np.argsort(-scores, axis=1)[:, :2]
    return [
        PredictionLine(i, {"output_0": [Top(str(k), float(scores[i, k])) for k in row]})
        for i, row in enumerate(best)
    ]


def test_answers_are_compared_by_label_and_score() -> None:
    for same in (agreement(answer(SCORES), SCORES), agreement(answer(*best_of(lines_of(SCORES))), SCORES)):
        assert (same.compared, same.other_label, same.other_score) == (3, 0, 0)
        assert same.largest_difference < 1e-7
    off = SCORES.copy()
    off[0, 1] += 0.01  # still the best
    off[1] = [0.3, 0.5, 0.2]
    for other in (agreement(answer(off), SCORES), agreement(answer(*best_of(lines_of(off))), SCORES)):
        assert (other.other_label, other.other_score) == (1, 2)
        assert other.largest_difference == pytest.approx(0.2)
    off[2] = np.nan
    assert agreement(answer(off), SCORES).other_score == 3
    with pytest.raises(BenchmarkError, match="2 answers were given for 3 items"):
        agreement(answer(SCORES[:2]), SCORES)
    with pytest.raises(BenchmarkError, match="not each of its 3 items once, in order"):
        best_of(lines_of(SCORES)[::-1])


def run_of(repetitions: int, said: list[str], tmp_path: Path) -> Run:
    return Run(work=tmp_path, repetitions=repetitions, quick=False, say=said.append, measured={})


def test_contenders_take_turns_and_the_slow_ones_have_few(tmp_path: Path) -> None:
    order: list[str] = []

    def contender(name: str, *, every: int = 1, fails_at: int = 99) -> Contender:
        def run(items: int, weighed: bool) -> Answer:
            order.append(name)
            if order.count(name) > fails_at:
                raise BenchmarkError(f"many lines\n{name} is broken")
            assert items == (1 if weighed else 3)
            return answer(SCORES[:items])

        return Contender(name, "loop", "LiteRT", run, every=every)

    said: list[str] = []
    contenders = [
        contender("a"),
        contender("rare", every=ONCE),
        contender("missing", fails_at=0),
        contender("breaks", fails_at=2),
        contender("z"),
    ]
    left = compare(run_of(3, said, tmp_path), contenders, items=3, warm_up_items=1)
    warm_up, first, second, third = order[:5], order[5:9], order[9:12], order[12:]
    assert warm_up == ["a", "rare", "missing", "breaks", "z"]
    assert (first, second, third) == (["a", "rare", "breaks", "z"], ["z", "breaks", "a"], ["a", "z"])
    assert [(m.name, [run.repetition for run in m.runs]) for m in left.measured] == [
        ("a", [0, 1, 2]),
        ("rare", [0]),
        ("breaks", [0]),
        ("z", [0, 1, 2]),
    ]
    assert left.absent == {"missing": "missing is broken", "breaks": "breaks is broken"}
    assert left.measured[0].runs[0] == Throughput(
        repetition=0, whole_items_per_s=0.15, steady_items_per_s=0.3, processor_s=30.0
    )
    assert left.measured[0].agreement.compared == 9
    assert any("CANNOT RUN missing" in line for line in said)
    with pytest.raises(BenchmarkError, match="first is broken"):
        compare(run_of(1, said, tmp_path), [contender("first", fails_at=0)], items=3, warm_up_items=1)


def test_the_rows_are_shared_whole_and_in_order(tmp_path: Path) -> None:
    assert shares(10, 3) == [range(3), range(3, 6), range(6, 10)]
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"".join(b"%d\n" % i for i in range(9)))
    taken = [list(mini_batches(path, rows, 2)) for rows in shares(7, 2)]
    assert taken == [[[b"0\n", b"1\n"], [b"2\n"]], [[b"3\n", b"4\n"], [b"5\n", b"6\n"]]]


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_the_stubs_carry_the_shipped_definition_to_its_end(clock: str) -> None:
    services = StubServices(children=12, max_concurrency=5, batch_s=0.01)

    async def job() -> Execution:
        return await shipped_machine(services).start_execution({}).wait()

    execution = RUNNERS[clock](job())
    assert (execution.status, execution.error) == ("SUCCEEDED", None)
    assert [run.execution_counts["succeeded"] for run in execution.map_runs] == [12]
    assert services.most_in_flight == 5
    assert services.in_flight == 0


def test_the_hop_is_measured_through_a_process_that_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_hop_process, "WARM_UP", 1)
    hop = asyncio.run(runtime_hop_process.measure(3, tmp_path))
    assert hop.invocations == 3
    assert 0 < hop.cloud_s <= hop.duration_s
    assert hop.function_s > 0

    monkeypatch.setattr(runtime_hop_process, "HANDLER", "def lambda_handler(event, context): return {}[0]")
    (tmp_path / "again").mkdir()
    with pytest.raises(BenchmarkError, match=r"the function failed.*KeyError"):
        asyncio.run(runtime_hop_process.measure(3, tmp_path / "again"))


# Processes


def test_a_process_tells_what_it_said_and_what_it_took() -> None:
    finished = run_process([sys.executable, "-c", "print('a' * 3)"], environment())
    assert finished.stdout.strip() == b"aaa"
    assert finished.ended_s > finished.started_s
    assert finished.processor_s > 0


def test_a_process_that_fails_is_quoted() -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)ended with 3:.*what went wrong"):
        run_process(
            [sys.executable, "-c", "import sys; sys.stderr.write('what went wrong'); sys.exit(3)"],
            environment(),
        )


ORPHAN = """
import subprocess, sys
late = "import time; time.sleep({}); sum(range(3_000_000))"
middle = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {{late!r}}]).pid, flush=True)"
subprocess.run([sys.executable, "-c", middle])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of descendants")
def test_what_a_process_leaves_behind_is_waited_for_and_then_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1)'])"
    alone, both = (
        run_process([sys.executable, "-c", code], environment(), weighed=True).peak_memory_mb
        for code in ("import time; time.sleep(1)", waits)
    )
    assert 1 < alone < both
    for sleeps_s, grace_s in ((0, 20.0), (600, 0.0)):
        monkeypatch.setattr("benchmarks.processes.GRACE_S", grace_s)
        finished = run_process([sys.executable, "-c", ORPHAN.format(sleeps_s)], environment())
        with pytest.raises(ProcessLookupError):
            os.kill(int(finished.stdout), 0)


def test_without_their_environment_peers_cannot_be_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.peers.PYTHON", tmp_path / "python")
    assert peer_versions() == {}
    with pytest.raises(BenchmarkError, match=r"scripts/environment\.sh tool peers"):
        run_peer("benchmarks.jpegs.ray_data")


def test_the_shells_own_settings_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("FANWISE_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    given_on = environment(FANWISE_CACHE_DIR="here")
    assert (given_on["FANWISE_CACHE_DIR"], given_on["KEPT"]) == ("here", "yes")
    assert "PYTHONDONTWRITEBYTECODE" not in given_on


def test_an_interrupt_ends_the_process_too(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    os.mkfifo(ready)
    pids: list[int] = []
    main_thread = threading.get_ident()
    # Tests that were started in the background of a shell ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt_when_it_runs() -> None:
        pids.append(int(ready.read_text()))  # waits until the child has written it
        signal.pthread_kill(main_thread, signal.SIGINT)

    code = f"import os, time; open({str(ready)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    watcher = threading.Thread(target=interrupt_when_it_runs)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_process([sys.executable, "-c", code], environment())
    finally:
        signal.signal(signal.SIGINT, before)
        watcher.join()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


# What is kept, and what people read


def test_this_machine_is_described_without_its_name() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gb > 0
    assert machine.tensorflow.startswith("2.")
    assert os.uname().nodename not in msgspec.json.encode(machine).decode()


def test_a_kind_of_machine_is_fit_for_a_file_name() -> None:
    assert kind_of(MACHINE) == "2-core-some-cpu-2-60ghz"


def test_a_run_reads_back_as_it_was_kept_and_the_newest_of_a_kind_counts(tmp_path: Path) -> None:
    older = results(date="2026-11-23")
    write_results(older, tmp_path, "2-core-x")
    path = write_results(results(), tmp_path, "2-core-x")
    write_results(older, tmp_path, "1-core-y")
    (tmp_path / "notes.json").write_text("{}")
    assert path.name == "2026-11-24-2-core-x.json"
    assert read_results(path) == results()
    assert latest_by_kind(tmp_path) == [older, results()]


def test_parts_of_a_day_are_kept_beside_each_other(tmp_path: Path) -> None:
    whole = results()
    for name, left in whole.parts.items():
        path = write_results(msgspec.structs.replace(whole, parts={name: left}), tmp_path, "2-core-x")
    assert read_results(path) == whole
    other = msgspec.structs.replace(whole, fanwise="9.9", parts={})
    assert read_results(write_results(other, tmp_path, "2-core-x")) == other


def test_what_is_kept_is_plain_json(tmp_path: Path) -> None:
    kept = msgspec.json.decode(write_results(results(), tmp_path, "kind").read_bytes())
    assert kept["format"] == 2
    assert kept["parts"]["jpegs"]["measured"][0]["runs"][0] == {
        "repetition": 0,
        "steady_items_per_s": 80.0,
        "whole_items_per_s": 40.0,
        "processor_s": 40.0,
    }
    assert kept["parts"]["interpreter"]["virtual"][0]["children"] == 10_000
    assert set(kept["machine"]) == {"cpu", "cores", "memory_gb", "system", "python", "tensorflow"}


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-24-kind.json"
    path.write_text('{"format": 2}')
    with pytest.raises(BenchmarkError, match="not results of the benchmarks"):
        read_results(path)
    write_results(results(format=99), tmp_path, "kind")
    with pytest.raises(BenchmarkError, match="format 99; this program reads 2"):
        read_results(path)


RATIOS = (
    Ratio("fanwise, LiteRT", ("loop by hand, LiteRT",), 0.95),
    Ratio("fanwise, LiteRT", ("Ray Data, oneDNN on",), 3.3),
    Ratio("fanwise, LiteRT", ("Lithops, localhost",)),
)


def test_the_table_says_honestly_which_bars_are_met() -> None:
    table = table_of(JPEGS, "JPEGs", RATIOS)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["loop by hand, LiteRT"] == ("80.0", "60.0 … 84.0", "40.0", "20", "190", "2.0e-06")
    assert rows["Ray Data, oneDNN on (of 1)"][:2] == ("40.0", "")
    # 79/80, 84/84, 79/60; of Ray the first repetition alone
    assert table.notes[0] == ("fanwise, LiteRT over loop by hand, LiteRT: 1.00 (0.99 … 1.32), ≥ 0.95 met.")
    assert table.notes[1].endswith("over Ray Data, oneDNN on: 1.98 (1.98 … 1.98), ≥ 3.30 NOT MET.")
    assert table.notes[2] == "fanwise, LiteRT over Lithops, localhost: not measured."
    assert any("All 18,000 predictions" in note for note in table.notes)


def test_the_table_says_who_was_left_out_and_who_answers_otherwise() -> None:
    odd = measured("fanwise, LiteRT", 79.0, kind="fanwise", other_label=7)
    table = table_of(comparison(measured("loop", 80.0), odd, ray="no wheel"), "JPEGs", ())
    assert any("NOT EQUAL to loop" in note and "7 have another label" in note for note in table.notes)
    assert table.notes[-1] == "Could not be run: ray (no wheel)."
    assert not any("All " in note for note in table.notes)


def test_a_ratio_is_taken_over_the_fastest_of_the_others() -> None:
    both = Ratio("fanwise, LiteRT", ("Ray Data, oneDNN on", "loop by hand, LiteRT"), 0.95)
    assert table_of(JPEGS, "JPEGs", [both]).notes[0].startswith("fanwise, LiteRT over loop by hand, LiteRT")


def way_of(name: str, items: int, work_ms: float) -> Way:
    return Way(
        name=name,
        runtime="litert",
        memory_mb=1024,
        items=items,
        work_ms=work_ms,
        start_ms=500.0,
        environments=1000,
        gets=3.0,
        puts=2.0,
    )


def test_a_million_items_cost_what_their_invocations_take() -> None:
    usage = way_of("one", 1, 20.0).usage()
    assert (usage.invocations, usage.gets, usage.puts) == (1_000_000, 3_000_000, 2_000_000)
    assert usage.gb_s == pytest.approx(1_000_000 * 0.020 + 1000 * 0.5)  # 1,024 MB
    planned = way_of("planned", 300, 3000.0).usage()
    assert planned.invocations == 3334
    assert planned.gb_s == pytest.approx(3334 * 3.0 + 1000 * 0.5)


def test_a_way_is_what_its_invocations_took_without_and_with_a_cold_start() -> None:
    warm = Invocation(request_id="w", duration_ms=2000, load_ms=0, init_ms=4000, cold=False, gets=52, puts=3)
    commits = [commit(dead_lettered=0), commit(invocation=warm, predicted=50, dead_lettered=0)]
    # 5,000 + 2,000 ms of work over 300 items; 258 + 52 GETs, of which 300 are the items'
    found = way_planned("x", "litert", commits, Plan(600, 1000))
    assert (found.work_ms, found.start_ms, found.environments) == (14_000.0, 6000.0, 1000)
    assert (found.gets, found.puts) == (605.0, 3.0)
    alone = way_alone("x", "litert", Alone(start_ms=150.0, work_ms=12.3))
    assert (alone.items, alone.work_ms, alone.environments) == (1, 12.3, 1000)
    assert way_planned("x", "litert", commits, Plan(600_000, 1000)).environments == 2
    with pytest.raises(BenchmarkError, match="with 0 cold starts"):
        way_planned("x", "litert", commits[1:], Plan(600, 1000))


def test_an_instance_is_paid_from_its_start() -> None:
    rented = msgspec.structs.replace(instance(), vcpus=4, usd_per_hour=0.2, start_up_minutes=6.0)
    costs = Costs(ways=(), instance=rented, items_per_s_and_vcpu=MILLION_IN_AN_HOUR / 4)
    assert costs.instance_usd() == pytest.approx(0.2 * 1.1)


MILLION_IN_AN_HOUR = 1_000_000 / 3600
COSTS = Costs(
    ways=tuple(
        way_of(name, items, 20.0 * items)
        for runtime in ("LiteRT", "TensorFlow")
        for name, items in ((f"an image an invocation, {runtime}", 1), (f"fanwise's plan, {runtime}", 500))
    ),
    instance=instance(),
    items_per_s_and_vcpu=40.0,
)
COLD = Cold(
    items=8, seconds={"fanwise, LiteRT": (0.7, 0.9, 0.8)}, init_s={"fanwise, LiteRT": (0.2, 0.2, 0.3)}
)


def test_the_dearer_way_is_said_and_where_the_prices_are_from() -> None:
    (table,) = PARTS["cost"].tables(COSTS)
    assert len(table.rows) == 5
    assert any(note.startswith("With LiteRT, an image an invocation costs 1.") for note in table.notes)
    assert any("an assumption" in note and "$0.204 an hour" in note for note in table.notes)
    (cold,) = PARTS["cold"].tables(COLD)
    assert cold.rows == (("fanwise, LiteRT", "0.80", "0.70 … 0.90", "0.20"),)


def test_charts_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    charts = [
        *PARTS["jpegs"].charts(JPEGS),
        *PARTS["cold"].charts(COLD),
        *PARTS["cost"].charts(COSTS),
        chart_of(JPEGS, "rows", "Rows"),
    ]
    assert [chart.name for chart in charts] == ["jpegs", "cold", "cost", "rows"]
    assert [(bar.label, bar.value, bar.ours) for bar in charts[0].bars][:2] == [
        ("loop by hand, LiteRT", 80.0, False),
        ("fanwise, LiteRT", 79.0, True),
    ]
    draw(charts[0], tmp_path / "pictures/once.svg")
    draw(charts[0], tmp_path / "pictures/twice.svg")
    once = (tmp_path / "pictures/once.svg").read_bytes()
    assert once.startswith(b"<?xml")
    assert once == (tmp_path / "pictures/twice.svg").read_bytes()
    assert (short(0.8449), short(48.31), short(1234.5)) == ("0.845", "48.3", "1,234")


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({}, "< 1.5 ms met. Memory: < 1024 MB met"),
        ({"processor_s": 15.1}, "< 1.5 ms NOT MET. Memory: < 1024 MB met"),
        ({"peak_memory_mb": 1100.0}, "< 1.5 ms met. Memory: < 1024 MB NOT MET"),
    ],
)
def test_the_interpreters_bars_hold_for_both_of_its_runs(worse: dict[str, float], said: str) -> None:
    for measured in (
        Interpreter(virtual=(map_run(**worse),), real=(map_run(),)),
        Interpreter(virtual=(map_run(),), real=(map_run(**worse),)),
    ):
        (table,) = PARTS["interpreter"].tables(measured)
        assert said in table.notes[-1]


@pytest.mark.parametrize(("cloud_s", "said"), [(7.4, "< 1.5 ms met."), (7.6, "< 1.5 ms NOT MET.")])
def test_the_hops_bar_is_for_the_clouds_process_alone(cloud_s: float, said: str) -> None:
    hop = HopMeasure(invocations=5_000, cloud_s=cloud_s, function_s=50.0, duration_s=100.0)
    cheap = msgspec.structs.replace(hop, cloud_s=0.5)
    (table,) = PARTS["runtime_hop"].tables(RuntimeHop(hops=(cheap, hop, hop)))
    assert table.rows[1:] == (
        ("processor, the function's process", "10.00", "10.00 … 10.00"),
        ("there and back", "20.00", "20.00 … 20.00"),
    )
    assert table.notes[-1].endswith(said)


def test_a_table_is_the_same_in_markdown_and_on_a_terminal() -> None:
    for table in tables_of(results()):
        text = as_markdown(table).splitlines()
        lines = [line for line in text if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count("|") for line in lines} == {len(table.columns) + 1}
        assert for_terminal(table).row_count == len(table.rows)
        assert text[-1] == table.notes[-1]


def test_the_page_keeps_its_words_around_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Words\n\n{BEGIN}\nstale words\n{END}\n\nmore words\n")
    with pytest.raises(BenchmarkError, match="no results are kept yet"):
        write_report(tmp_path / "results", page)
    write_results(results(), tmp_path / "results", "kind")
    assert write_report(tmp_path / "results", page) == 1
    once = page.read_text()
    assert once.startswith("# Words\n")
    assert once.endswith(f"{END}\n\nmore words\n")
    assert "stale words" not in once
    assert "| fanwise, LiteRT |" in once
    picture = "jpegs-2-core-some-cpu-2-60ghz.svg"
    assert f"](benchmarks/{picture})" in once
    assert (tmp_path / "benchmarks" / picture).exists()
    assert "2 cores of Some CPU" in once
    write_report(tmp_path / "results", page)
    assert page.read_text() == once


def test_a_page_without_markers_is_not_guessed_at() -> None:
    for text in ("no markers", BEGIN, f"{END} {BEGIN}"):
        with pytest.raises(BenchmarkError, match="has not both markers"):
            with_measured(text, "section")


def test_the_shipped_page_has_the_markers() -> None:
    page = Path(__file__).parent.parent / "docs/benchmarks.md"
    assert "section" in with_measured(page.read_text(), "section")


# How time and memory grow


def growth_measures(work: str, seconds: dict[int, float], memory_mb: float = 90.0) -> list[Measure]:
    return [
        Measure(
            work=work,  # type: ignore[arg-type]
            count=count,
            duration_s=s,
            processor_s=s,
            peak_memory_mb=memory_mb,
            pinned=True,
        )
        for count, s in seconds.items()
    ]


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_largest_decades(slope: float) -> None:
    points = [(10**power, 3.0 * 10 ** (power * slope)) for power in range(5, 8)]
    assert exponent([(1000, 1e9), *points]) == pytest.approx(slope)


def test_the_bars_of_growth_are_for_the_largest_size() -> None:
    lines = growth_measures("jsonl", {10**5: 0.08, 10**6: 0.8, 10**7: 7.9})
    commits = growth_measures("commits", {10**4: 0.4, 10**5: 61.0}, memory_mb=600.0)
    (table,) = PARTS["growth"].tables(Growth(measures=(*lines, *commits)))
    (of_lines, of_commits) = table.rows
    assert (of_lines[1], of_lines[4]) == ("10,000,000", "1.00")
    assert [of_lines[5], of_lines[8]] == ["< 8 s met", "≤ 256 MB met"]
    assert [of_commits[5], of_commits[8]] == ["< 60 s NOT MET", "≤ 512 MB NOT MET"]
    (quick,) = PARTS["growth"].tables(Growth(measures=tuple(lines[:2])))
    assert [quick.rows[0][5], quick.rows[0][8]] == ["", ""]


@pytest.mark.parametrize("work", ["jsonl", "csv", "folder", "commits", "commits alone", "simulated"])
def test_what_grows_is_accounted_for(work: str, tmp_path: Path) -> None:
    if work in ("jsonl", "csv"):
        (tmp_path / "input").mkdir()
        write_items("csv" if work == "csv" else "jsonl", 10_123, tmp_path / "input" / f"items.{work}")
        count = 10_123
    else:
        count = 20
    if work.startswith("commits"):
        write_decided_job(count, tmp_path, told=work == "commits")
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        measured = measure_growth(msgspec.convert(work, Work), count, tmp_path)
    finally:
        if affinity is not None:
            os.sched_setaffinity(0, affinity)
    assert (measured.work, measured.count) == (work, count)
