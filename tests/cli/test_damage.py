"""What a disk lost or altered is noticed by `run` and `resume`, said in a line, and done again; nothing else is.

Each test damages one file of a job, finished or interrupted, and wants the results of a job that nothing befell.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_in_process import Machine, item, read_lines, write_items
from commands import Ended

Fanwise = Callable[..., Ended]
Words = tuple[str | Path, ...]
ITEMS, BATCH_SIZE = 12, 3
RESULTS = ("predictions.jsonl", "failures.jsonl")


@pytest.fixture
def words(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """`run` of four entries; two items are dead letters."""
    monkeypatch.chdir(tmp_path)
    orders = ["NotFound" if x in (4, 9) else "" for x in range(ITEMS)]
    write_items(tmp_path / "data/items.jsonl", [item(x, order) for x, order in enumerate(orders)])
    how = ("--batch-size", str(BATCH_SIZE), "--environments", "1", "--max-concurrency", "1")
    return ("run", "data/items.jsonl", "--model", bundle, "--out", "out", *how)


def results(out: str = "out") -> list[object]:
    """What came out, without how often it was tried."""
    rows: list[object] = list(read_lines(Path(out, "predictions.jsonl")))
    for row in read_lines(Path(out, "failures.jsonl")):
        row["failure"].pop("attempts")
        rows.append(row)
    return rows


def find(pattern: str) -> Path:
    """The one file of the job's home, or the first in order."""
    return sorted(Path("out").glob(f".fanwise/buckets/*-results-*/jobs/*/{pattern}"))[0]


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def shortened(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def lengthened(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b'{"index": 0')


def garbled(file: Path) -> None:
    """As many bytes, of which a block is zeros."""
    body = file.read_bytes()
    file.write_bytes(b"\0" * len(body))


def altered(file: Path) -> None:
    """One digit is another, so that it reads well."""
    body = bytearray(file.read_bytes())
    at = max(at for at, byte in enumerate(body) if chr(byte) in "0123456789")
    body[at] = ord("7") if body[at] != ord("7") else ord("8")
    file.write_bytes(bytes(body))


def removed(file: Path) -> None:
    file.unlink()


PLAN = ("job.json", "work/0.jsonl")
LEDGER = ("commits/000000.json", "commits/000001.json")
PARTS = ("predictions/000000-*.jsonl", "failures/000001-*.jsonl", "predictions/000001-*.jsonl")
CUTS = (emptied, shortened, garbled)


def damages() -> list[tuple[str, Callable[[Path], None]]]:
    found = [(name, cut) for name in (*PLAN, *LEDGER, "claim.json") for cut in CUTS]
    found += [(name, change) for name in PARTS for change in (*CUTS, lengthened, altered, removed)]
    found += [("work/0.jsonl", removed), ("job.json", removed), ("commits/000000.json", removed)]
    return [*found, ("work/0.jsonl", altered), ("work/0.jsonl", lengthened)]


def cases(every: int) -> pytest.MarkDecorator:
    """Each of so many damages, noticed by `run` and by `resume` in turn."""
    drawn = damages()[::every]
    made = [(name, damage, "run" if at % 2 else "resume") for at, (name, damage) in enumerate(drawn)]
    ids = [f"{name}-{damage.__name__}-{how}" for name, damage, how in made]
    return pytest.mark.parametrize(("name", "damage", "how"), made, ids=ids)


def whole(fanwise: Fanwise, words: Words) -> list[object]:
    """The results of a job that nothing befell."""
    again = tuple("whole" if word == "out" else word for word in words)
    assert fanwise(*again).code == 3
    return results("whole")


@cases(1)
def test_damage_of_a_finished_job_is_noticed_and_done_again(
    fanwise: Fanwise, machine: Machine, words: Words, name: str, damage: Callable[[Path], None], how: str
) -> None:
    assert fanwise(*words).code == 3
    before = results()
    machine.calls.clear()
    file = find(name)
    damage(file)
    ended = fanwise(*words) if how == "run" else fanwise("resume", "out")
    assert ended.code == 3, ended
    assert results() == before
    said = ended.stderr.replace("\n", "")
    assert f"/{file.name}" in said
    assert "again" in said
    assert machine.calls.count("PredictBatch") == (0 if name in (*PLAN, "claim.json") else 1)
    assert fanwise("verify", "out").code == 0
    machine.calls.clear()
    third = fanwise(*words)
    assert (third.code, machine.calls) == (3, [])
    assert "holds this job already; nothing was run" in third.stderr


@cases(3)
def test_damage_of_an_interrupted_job_is_noticed_and_done_again(
    fanwise: Fanwise, machine: Machine, words: Words, name: str, damage: Callable[[Path], None], how: str
) -> None:
    expected = whole(fanwise, words)
    machine.calls.clear()
    machine.interrupt_at(5)  # two or three entries have their commits
    assert fanwise(*words).code == 130
    damage(find(name))
    ended = fanwise(*words) if how == "run" else fanwise("resume", "out")
    assert ended.code == 3, ended
    assert results() == expected
    assert fanwise("verify", "out").code == 0


def test_results_that_were_cut_are_brought_again(fanwise: Fanwise, machine: Machine, words: Words) -> None:
    assert fanwise(*words).code == 3
    before = results()
    for name in RESULTS:
        for damage in (emptied, shortened, lengthened, removed):
            machine.calls.clear()
            damage(Path("out", name))
            ended = fanwise(*words)
            assert (ended.code, machine.calls.count("PredictBatch")) == (3, 0)
            assert results() == before
            assert damage is removed or f"out/{name} has" in ended.stderr


def test_a_home_whose_memory_is_damaged_is_found_by_the_same_command(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    assert fanwise(*words).code == 3
    before = results()
    for damage in (emptied, shortened, garbled, removed):
        machine.calls.clear()
        damage(Path("out/.fanwise/home.json"))
        refused = fanwise("resume", "out")
        assert (refused.code, refused.stdout) == (2, "")
        ended = fanwise(*words)
        assert (ended.code, machine.calls.count("PredictBatch")) == (3, 0)
        assert results() == before


def test_what_lay_below_an_entry_that_is_done_again_does_not_count(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    """A death cuts an entry in four; without its commit the pieces are nobody's."""
    write_items(Path("data/items.jsonl"), [item(x, "die" if x == 1 else "") for x in range(ITEMS)])
    assert fanwise(*words).code == 3
    before = results()
    assert find("commits/000000.0.json")
    for damage in (garbled, removed):
        machine.calls.clear()
        damage(find("commits/000000.json"))
        assert fanwise("resume", "out").code == 3
        assert results() == before
        assert fanwise("verify", "out").code == 0


@pytest.mark.parametrize("damage", [shortened, lengthened, altered, garbled, removed])
def test_a_part_that_is_damaged_while_the_job_runs_is_done_again(
    fanwise: Fanwise, machine: Machine, words: Words, damage: Callable[[Path], None]
) -> None:
    expected = whole(fanwise, words)
    machine.calls.clear()

    def before_call(function: str) -> None:
        if function == "AggregateResults" and machine.calls.count(function) == 1:
            damage(find("predictions/000000-*.jsonl"))

    machine.before_call = before_call
    ended = fanwise(*words)
    assert ended.code == 3, ended
    assert results() == expected
    assert "the items of entry 000000 are predicted again" in " ".join(ended.stderr.split())
    assert machine.calls.count("PredictBatch") == 5
    assert fanwise("verify", "out").code == 0


def test_a_replay_whose_plan_is_damaged_is_begun_again(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    assert fanwise(*words).code == 3
    assert fanwise("replay", "out").code == 1
    summary = json.loads(Path("out/replays/1/summary.json").read_bytes())
    plan = Path(next(Path("out").glob(f".fanwise/buckets/*results*/jobs/{summary['job_id']}/job.json")))
    emptied(plan)
    refused = fanwise("resume", "out")
    assert refused.code == 2
    assert "job.json is empty; the replay was set aside: fanwise replay begins it again" in refused.stderr
    assert fanwise("replay", "out").code == 1
    assert fanwise("verify", "out").code == 0


def test_a_published_model_that_is_damaged_is_published_again(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    machine.interrupt_at(5)
    assert fanwise(*words).code == 130
    (digest,) = Path("out").glob(".fanwise/buckets/*models*/models/*/*/digest.json")
    before = digest.read_bytes()
    digest.unlink()
    digest.write_bytes(b"")
    assert fanwise(*words).code == 3
    assert digest.read_bytes() == before


def test_a_replay_of_damaged_dead_letters_is_refused_until_they_are_made_again(
    fanwise: Fanwise, machine: Machine, words: Words
) -> None:
    assert fanwise(*words).code == 3
    altered(find("failures/000001-*.jsonl"))
    refused = fanwise("replay", "out")
    assert refused.code == 2
    assert "has other bytes than its commit says" in " ".join(refused.stderr.split())
    assert "fanwise resume out" in " ".join(refused.stderr.split())
    assert fanwise("resume", "out").code == 3
    assert fanwise("replay", "out").code == 1
    assert fanwise("verify", "out").code == 0
