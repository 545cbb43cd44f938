"""The faulty layer below `Storage`, over a folder and over obstore: each store fault, each moment to die at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from obstore.store import MemoryStore

from fake_model import Died
from fanwise.errors import StoreFull, StoreUnavailable
from fanwise.storage import Backend, FolderBackend, ObstoreBackend, Storage
from fanwise_local.faults.rules import Fault
from fanwise_local.faults.store import FaultLayer, InvocationFaults

COMMIT = "s3://b/jobs/1/commits/0.json"


@dataclass
class World:
    """A bucket under a layer, and what the layer did to whoever was at work."""

    bucket: Backend
    slept_s: list[float] = field(default_factory=list)
    late: list[tuple[float, Callable[[], bool]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layer = FaultLayer()
        self.storage = Storage(self.layer.over({"b": self.bucket}), s3=False)
        self.plain = Storage({"b": self.bucket}, s3=False)

    @contextmanager
    def invocation(self, *faults: dict[str, Any]) -> Iterator[None]:
        def die(error: str) -> NoReturn:
            raise Died(error)

        def commit_late(seconds: float, write: Callable[[], bool]) -> NoReturn:
            self.late.append((seconds, write))
            raise Died("Sandbox.Timedout")

        at_work = InvocationFaults(
            msgspec.convert(faults, tuple[Fault, ...]),
            die=die,
            commit_late=commit_late,
            sleep=self.slept_s.append,
        )
        with self.layer.invocation(at_work):
            yield


@pytest.fixture(params=["folder", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return World(ObstoreBackend(MemoryStore()))
    return World(FolderBackend(tmp_path, writable=True))


DEEDS: dict[str, Callable[[Storage], object]] = {
    "head": lambda storage: storage.head("s3://b/x/y"),
    "read": lambda storage: storage.read("s3://b/x/y"),
    "write": lambda storage: storage.write("s3://b/x/y", b"later"),
    "create": lambda storage: storage.create("s3://b/x/new", b"mine"),
    "list": lambda storage: list(storage.list("s3://b/x/")),
    "delete": lambda storage: storage.delete("s3://b/x/y"),
}


# A store that does not answer.


@pytest.mark.parametrize("operation", DEEDS)
@pytest.mark.parametrize("named", [True, False])
def test_an_operation_that_fails_did_nothing_and_the_others_work(
    world: World, operation: str, named: bool
) -> None:
    rule = {"fault": "store_error"} | ({"operation": operation} if named else {})
    world.storage.write("s3://b/x/y", b"text")
    with world.invocation(rule), pytest.raises(StoreUnavailable, match=r"s3://b/x/.*503 Slow Down"):
        DEEDS[operation](world.storage)
    assert [info.key for info in world.plain.list("s3://b/")] == ["x/y"]
    assert world.plain.read("s3://b/x/y") == b"text"
    with world.invocation(rule):
        for other in DEEDS if named else ():
            if other not in (operation, "delete"):
                DEEDS[other](world.storage)
    DEEDS[operation](world.storage)  # and after it all is well


@pytest.mark.parametrize(
    ("key", "is_hit"), [("*", True), ("b/x/*", True), ("*/y", True), ("x/y", False), ("b/x/z", False)]
)
def test_a_key_is_a_glob_over_bucket_and_key(world: World, key: str, is_hit: bool) -> None:
    world.storage.write("s3://b/x/y", b"text")
    with world.invocation({"fault": "store_error", "key": key}):
        if is_hit:
            with pytest.raises(StoreUnavailable):
                world.storage.read("s3://b/x/y")
        else:
            assert world.storage.read("s3://b/x/y") == b"text"


def test_a_count_bounds_the_operations_of_an_invocation_that_are_hit(world: World) -> None:
    world.storage.write("s3://b/x/y", b"text")
    rule = {"fault": "store_error", "operation": "read", "count": 2}
    for _ in range(2):  # each invocation anew
        with world.invocation(rule):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    world.storage.read("s3://b/x/y")
            assert world.storage.read("s3://b/x/y") == b"text"


def test_errors_add_up(world: World) -> None:
    world.storage.write("s3://b/x/y", b"text")
    once = {"fault": "store_error", "operation": "read", "count": 1}
    with world.invocation(once, once):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                world.storage.read("s3://b/x/y")
        assert world.storage.read("s3://b/x/y") == b"text"


@pytest.mark.parametrize("operation", [{}, {"operation": "write"}])
def test_a_disk_that_is_full_can_be_read(world: World, operation: dict[str, str]) -> None:
    world.storage.write("s3://b/x/y", b"text")
    with world.invocation({"fault": "store_error", "error": "disk full", **operation}):
        with pytest.raises(StoreFull, match="s3://b/x/y: No space left on device"):
            world.storage.write("s3://b/x/y", b"more")
        assert world.storage.read("s3://b/x/y") == b"text"


def test_a_disk_that_is_full_takes_no_commit(world: World) -> None:
    rule = {"fault": "store_error", "error": "disk full", "operation": "create"}
    with world.invocation(rule), pytest.raises(StoreFull, match="No space left"):
        world.storage.create(COMMIT, b"mine")
    assert list(world.plain.list("s3://b/")) == []


# A store that is slow, or gives less than there is.


def test_a_slow_store_waits_before_each_operation(world: World) -> None:
    world.storage.write("s3://b/x/y", b"text")
    with world.invocation(
        {"fault": "slow_store", "seconds": 0.25, "operation": "read", "count": 2},
        {"fault": "slow_store", "seconds": 1},
    ):
        for _ in range(3):
            assert world.storage.read("s3://b/x/y") == b"text"
        world.storage.head("s3://b/x/y")
    assert world.slept_s == [0.25, 1, 0.25, 1, 1, 1]


@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 3), (1, 99)])
def test_a_body_that_is_truncated_is_never_taken_for_the_object(
    world: World, start: int, end: int | None
) -> None:
    world.storage.write("s3://b/x/y", b"text")
    with world.invocation({"fault": "truncate", "count": 1}):
        with pytest.raises(StoreUnavailable, match=r"s3://b/x/y: gave [12] of [34] bytes"):
            world.storage.read("s3://b/x/y", start, end)
        assert world.storage.read("s3://b/x/y", start, end) == b"text"[start:end]


def test_an_object_of_nothing_cannot_be_truncated(world: World) -> None:
    world.storage.write("s3://b/x/y", b"")
    world.storage.write("s3://b/x/z", b"z")
    with world.invocation({"fault": "truncate", "count": 1}):
        assert world.storage.read("s3://b/x/y") == b""
        with pytest.raises(StoreUnavailable, match="gave 0 of 1 bytes"):
            world.storage.read("s3://b/x/z")


# A conditional write of which nobody knows what became.


def test_a_create_that_was_done_is_read_back_as_the_writers_own(world: World) -> None:
    with world.invocation({"fault": "uncertain_create", "done": True}):
        assert world.storage.create(COMMIT, b"mine") == b"mine"
        assert world.storage.create(COMMIT, b"another") == b"mine"


def test_a_create_that_was_not_done_is_worth_another_attempt_or_somebody_elses(world: World) -> None:
    rule = {"fault": "uncertain_create", "done": False, "key": "*/commits/*"}
    with world.invocation(rule):
        with pytest.raises(StoreUnavailable, match="409"):
            world.storage.create(COMMIT, b"mine")
        assert world.storage.create("s3://b/claim.json", b"mine") == b"mine"
        world.plain.write(COMMIT, b"somebody else's")
        assert world.storage.create(COMMIT, b"mine") == b"somebody else's"


# Deaths.


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"fault": "kill"}, "Runtime.ExitError"),
        ({"fault": "exceed_memory"}, "Runtime.OutOfMemory"),
        ({"fault": "exceed_time", "seconds": 5}, "Sandbox.Timedout"),
    ],
)
def test_some_die_before_any_work(world: World, rule: dict[str, Any], error: str) -> None:
    begun = False
    with pytest.raises(Died, match=error), world.invocation(rule):
        begun = True
    assert not begun
    world.storage.write("s3://b/x/y", b"the next one lives")


@pytest.mark.parametrize(("when", "decided"), [("between part and commit", False), ("after commit", True)])
def test_some_die_at_their_commit(world: World, when: str, decided: bool) -> None:
    with pytest.raises(Died, match=r"Runtime\.ExitError"), world.invocation({"fault": "kill", "when": when}):
        world.storage.write("s3://b/jobs/1/predictions/0.jsonl", b"part")
        assert world.storage.create("s3://b/jobs/1/claim.json", b"no commit") == b"no commit"
        world.storage.create(COMMIT, b"mine")
    commits = [info.key for info in world.plain.list("s3://b/jobs/1/commits/")]
    assert bool(commits) is decided
    assert world.plain.read("s3://b/jobs/1/predictions/0.jsonl") == b"part"


@pytest.mark.parametrize("rival", [True, False])
def test_one_that_writes_late_writes_when_it_is_let(world: World, rival: bool) -> None:
    with (
        pytest.raises(Died, match=r"Sandbox\.Timedout"),
        world.invocation({"fault": "write_late", "seconds": 3}),
    ):
        world.storage.create(COMMIT, b"mine")
    assert list(world.plain.list("s3://b/")) == []
    if rival:
        assert world.storage.create(COMMIT, b"the rival's") == b"the rival's"
    ((seconds, write),) = world.late
    assert (seconds, write()) == (3, not rival)
    assert world.plain.read(COMMIT) == (b"the rival's" if rival else b"mine")
