"""The ledger: decided once, whoever asks, and the walk adds up."""

from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.commits import Walk, answer_of, commit_key, decide, read_commit, walk
from fanwise.errors import FanwiseError
from fanwise.records import Commit, Invocation
from fanwise.storage import ObjectInfo, Storage
from ledger import HOME, Ledger, cut_by_count


def test_an_entry_is_decided_once() -> None:
    ledger = Ledger([5])
    (entry,) = ledger.entries
    assert read_commit(ledger.storage, HOME, entry.entry) is None
    first = ledger.commit(entry, request_id="first")
    second = ledger.commit(entry, dead=5, request_id="second")
    assert second == first == read_commit(ledger.storage, HOME, entry.entry)


def test_who_decides_hears_of_it_and_who_comes_second_does_not() -> None:
    ledger = Ledger([5])
    heard: list[Commit] = []
    for request_id in ("first", "second", "first"):  # the last: its own answer got lost
        invocation = Invocation(request_id=request_id, duration_ms=1.0)
        commit = Commit(entry="000000", attempt=1, invocation=invocation, predicted=5)
        decide(ledger.storage, HOME, commit, heard.append)
    assert [commit.invocation.request_id for commit in heard] == ["first", "first"]


def test_a_zombie_goes_by_the_cut_that_fenced_it_off() -> None:
    ledger = Ledger([8])
    (entry,) = ledger.entries
    cut = ledger.commit(entry, rest=cut_by_count(entry, 4), died="Sandbox.Timedout", request_id="handler")
    assert ledger.commit(entry, request_id="zombie") == cut
    assert [left.entry for left in walk(ledger.storage, HOME).left] == [f"000000.{n}" for n in range(4)]


def test_a_commit_that_does_not_add_up_is_refused() -> None:
    ledger = Ledger([5])
    wrong = Commit(
        entry="000000", attempt=1, invocation=Invocation(request_id="x", duration_ms=1), predicted=4
    )
    decide(ledger.storage, HOME, wrong)
    with pytest.raises(FanwiseError, match=r"commits/000000\.json accounts for 4 of 5 items"):
        walk(ledger.storage, HOME)


@pytest.mark.parametrize("name", ["000000", "000001", "000000x.0"])
def test_a_commit_that_leads_elsewhere_than_down_is_refused(name: str) -> None:
    """One that left over its own entry would make the walk go on for ever."""
    ledger = Ledger([5])
    (entry,) = ledger.entries
    ledger.commit(entry, predicted=0, rest=[msgspec.structs.replace(entry, entry=name)])
    with pytest.raises(
        FanwiseError, match=rf"commits/000000\.json leaves over '{name}', which is no part of"
    ):
        walk(ledger.storage, HOME)


@given(st.lists(st.integers(1, 40), max_size=8), st.data())
def test_whatever_is_decided_the_walk_accounts_for_every_item(counts: list[int], data: st.DataObject) -> None:
    ledger = Ledger(counts)
    todo = list(ledger.entries)
    while todo:
        entry = todo.pop()
        match data.draw(st.sampled_from(["predict", "cut", "leave"])):
            case "predict":
                ledger.commit(entry, dead=data.draw(st.integers(0, entry.count)))
            case "cut" if entry.count > 1:
                rest = cut_by_count(entry, 4)
                ledger.commit(entry, rest=rest, died="Runtime.ExitError")
                todo += rest
    result = walk(ledger.storage, HOME)
    counted = sum(c.predicted + c.dead_lettered for c in result.commits) + sum(e.count for e in result.left)
    assert counted == ledger.total
    covered = [i for e in result.left for i in range(e.first, e.first + e.count)]
    assert len(set(covered)) == len(covered)
    assert result.planned == len(counts)


def test_commit_keys_are_part_of_the_contract() -> None:
    assert commit_key("000007.2") == "commits/000007.2.json"
    ledger = Ledger([1])
    ledger.commit(ledger.entries[0])
    body = ledger.storage.read(HOME + "commits/000000.json")
    assert msgspec.json.decode(body)["predicted"] == 1


def tell(
    ledger: Ledger, commits: Sequence[Commit], name: str = "u/SUCCEEDED_0.json", after: bytes = b""
) -> None:
    """Write what the ResultWriter does of children that answered with these commits."""
    rows = msgspec.json.Encoder().encode_lines([answer_of(commit) for commit in commits])
    ledger.storage.write(f"{HOME}map-run/{name}", rows + after)


def reads_of_walk(ledger: Ledger) -> tuple[Walk, int]:
    """What the walk comes to, and how many objects it read."""
    before = ledger.storage.requests().gets
    return walk(ledger.storage, HOME), ledger.storage.requests().gets - before


@given(st.lists(st.booleans(), max_size=12), st.booleans())
def test_commits_that_children_told_of_are_not_read_and_the_others_are(told: list[bool], cut: bool) -> None:
    ledger = Ledger([4] * (len(told) + 1))
    undecided = ledger.entries.pop()
    commits = [ledger.commit(entry) for entry in ledger.entries]
    if (
        cut and commits
    ):  # the first one's invocation died, and what it left over was decided in the next round
        ledger = Ledger([4] * (len(told) + 1))
        rest = cut_by_count(ledger.entries[0], 4)
        commits = [ledger.commit(ledger.entries[0], rest=rest, died="Runtime.ExitError")]
        commits += [ledger.commit(entry) for entry in ledger.entries[1:-1]]
        tell(ledger, [ledger.commit(entry) for entry in rest], "v/SUCCEEDED_0.json")
    expected, _ = reads_of_walk(ledger)
    spoken = [commit for commit, is_told in zip(commits, told, strict=True) if is_told]
    half = len(spoken) // 2
    tell(ledger, spoken[:half])
    tell(ledger, spoken[half:], "u/SUCCEEDED_1.json")
    found, reads = reads_of_walk(ledger)
    assert found == expected
    assert [entry.entry for entry in found.left] == [undecided.entry]
    files = sum(1 for info in ledger.storage.list(HOME + "map-run/") if info.size_bytes)
    assert (
        reads == 1 + files + (len(told) - len(spoken)) + 1
    )  # the plan, the files, the untold, the undecided


@pytest.mark.parametrize("broken", [b"nonsense\n", b'{"entry": 7}\n[1]\n', b'{"commit": {"entry": 1}}\n'])
def test_a_file_that_says_something_else_is_made_up_for_by_the_commits(broken: bytes) -> None:
    ledger = Ledger([4, 4])
    commits = [ledger.commit(entry) for entry in ledger.entries]
    tell(ledger, commits[:1], after=broken)
    ledger.storage.write(HOME + "map-run/u/FAILED_0.json", broken)
    assert walk(ledger.storage, HOME).commits == commits


def test_rows_are_read_across_the_borders_of_what_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger([3] * 20)
    commits = [ledger.commit(entry) for entry in ledger.entries]
    tell(ledger, commits)
    monkeypatch.setattr(Storage.stream, "__defaults__", (100, 0))  # bytes; a row has some 400
    found, reads = reads_of_walk(ledger)
    assert found.commits == commits
    assert reads > 20


def test_the_files_are_pinned_without_versions_and_may_be_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version asks for a permission of its own (GetObjectVersion), which AggregateResults has not."""
    ledger = Ledger([3])
    commits = [ledger.commit(entry) for entry in ledger.entries]
    tell(ledger, commits)
    pins: list[ObjectInfo] = []

    def refused(_storage: Storage, uri: str, info: ObjectInfo) -> Iterator[bytes]:
        pins.append(info)
        raise PermissionError(uri)

    monkeypatch.setattr(Storage, "stream", refused)
    assert walk(ledger.storage, HOME).commits == commits
    assert [(pin.version_id, bool(pin.etag)) for pin in pins] == [(None, True)]
