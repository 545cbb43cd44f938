"""The pipeline: order, overlap, bounded look-ahead, deadlines, and nothing left at work behind."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from fake_model import FakeModel
from fanwise.errors import ItemError, ModelError, NotFound, StoreUnavailable
from fanwise.items.parsing import Item
from fanwise.limits import decode_threads
from fanwise.model.model import Row
from fanwise.prediction.pipeline import (
    MINI_BATCHES_AHEAD,
    ROWS_AHEAD_A_THREAD,
    Outcome,
    OutOfTime,
    Pipeline,
)
from fanwise.storage import ObstoreBackend, Storage

THREADS = 4
ERRORS = ["NotFound", "UndecodableImage", "ShapeMismatch", "PredictionFailed", "NonFiniteResult", "BadUri"]


def item(index: int, order: str = "", uri: str | None = None) -> Item:
    inputs = {"x": index, "order": order} if order else {"x": index}
    return Item(
        index=index,
        line=index + 1,
        id=None,
        uri_given=None,
        uri=uri,
        inputs={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in inputs.items()},
        carried={},
        base="s3://in/",
        readable=("s3://in/",),
    )


def items(count: int, **orders: str) -> list[Item | ItemError]:
    """`count` items; `_3="die"` orders the item at position 3."""
    return [item(i, orders.get(f"_{i}", "")) for i in range(count)]


@pytest.fixture
def storage() -> Storage:
    return Storage({"in": ObstoreBackend(MemoryStore())}, s3=False)


@pytest.fixture
def pipeline(storage: Storage) -> Iterator[Pipeline]:
    made = Pipeline(storage, threads=THREADS)
    yield made
    made._pool.shutdown()


@pytest.fixture
def model() -> Iterator[FakeModel]:
    """With mini-batches of four; what hangs in it is let go when the test ends, however it ends."""
    made = FakeModel(4)
    yield made
    made.release.set()


def forever() -> float:
    return 1000.0


def counting_down(*left_s: float) -> Callable[[], float]:
    """A clock that tells these times left, one a call, and goes on with the last."""
    waiting = list(left_s)
    return lambda: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what other threads do; fails when they never do."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < 60, "it never happened"
        time.sleep(0.001)


def told(outcomes: Sequence[Outcome]) -> list[object]:
    """y of what was predicted, the error's name of what was not."""
    return [type(o.result).__name__ if isinstance(o.result, ItemError) else o.result["y"] for o in outcomes]


def test_what_the_line_itself_holds_is_made_by_no_other_thread(
    pipeline: Pipeline, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.is_fetched = False
    makers: list[int] = []
    encode = model.encode

    def told_who(*arguments: Any) -> Row:
        makers.append(threading.get_ident())
        return encode(*arguments)

    monkeypatch.setattr(model, "encode", told_who)
    outcomes = list(pipeline.run(items(10, _3="ShapeMismatch", _9="BadUri"), model, forever))
    assert told(outcomes) == [1.0, 3.0, 5.0, "ShapeMismatch", 9.0, 11.0, 13.0, 15.0, 17.0, "BadUri"]
    assert makers == [threading.get_ident()] * 10
    assert model.predicted == [[0.0, 1.0, 2.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["", "", "", *ERRORS, "parse"]), max_size=40),
    st.integers(1, 7),
    st.integers(1, 5),
)
def test_every_item_has_one_outcome_in_its_place(orders: list[str], mini_batch: int, threads: int) -> None:
    given_items: list[Item | ItemError] = [
        NotFound("not even an item") if order == "parse" else item(i, order) for i, order in enumerate(orders)
    ]
    model = FakeModel(mini_batch)
    pipeline = Pipeline(Storage({}, s3=False), threads=threads)
    outcomes = list(pipeline.run(given_items, model, forever))
    pipeline._pool.shutdown()
    assert [o.position for o in outcomes] == list(range(len(orders)))
    wanted = {"": None, "parse": "NotFound"}
    assert told(outcomes) == [wanted.get(order, order) or 2.0 * i + 1 for i, order in enumerate(orders)]
    assert sum(map(len, model.predicted)) == sum(
        order in ("", "PredictionFailed", "NonFiniteResult") for order in orders
    )


def test_mini_batches_are_full_but_for_the_last(pipeline: Pipeline) -> None:
    model = FakeModel(4)
    list(pipeline.run(items(14, _1="NotFound", _6="ShapeMismatch"), model, forever))
    assert [len(batch) for batch in model.predicted] == [4, 4, 4]
    assert [x for batch in model.predicted for x in batch] == [
        i for i in map(float, range(14)) if i not in (1, 6)
    ]


def test_objects_are_read_through_the_store(pipeline: Pipeline, storage: Storage) -> None:
    storage.write("s3://in/a/7", b"7")
    outcomes = list(
        pipeline.run([item(0, uri="s3://in/a/7"), item(1, uri="s3://in/none")], FakeModel(), forever)
    )
    assert told(outcomes) == [15.0, "NotFound"]
    assert storage.requests().gets == 2


def test_the_next_rows_are_made_while_the_model_computes(pipeline: Pipeline) -> None:
    """The model waits for rows of the next mini-batch inside its first call: without overlap it would not end."""
    model = FakeModel(4)

    def waits_for_the_next() -> None:
        if not model.predicted:
            wait_until(lambda: len(model.encoded) >= 8)

    model._on_predict = waits_for_the_next
    assert len(list(pipeline.run(items(20), model, forever))) == 20


@pytest.mark.parametrize("mini_batch", [1, 4])
def test_the_look_ahead_is_bounded(pipeline: Pipeline, mini_batch: int) -> None:
    model = FakeModel(mini_batch)
    run = pipeline.run(items(200), model, forever)
    next(run)
    bound = max(MINI_BATCHES_AHEAD * mini_batch, ROWS_AHEAD_A_THREAD * THREADS)
    wait_until(lambda: len(model.encoded) >= mini_batch + bound)
    run.close()
    assert len(model.encoded) == mini_batch + bound
    assert model.encoding == 0


@pytest.mark.parametrize(("position", "before"), [(0, 0), (1, 1), (5, 5), (8, 8), (19, 19)])
def test_a_store_that_does_not_answer_leaves_what_came_before(
    pipeline: Pipeline, position: int, before: int
) -> None:
    run = pipeline.run(items(20, **{f"_{position}": "StoreUnavailable"}), FakeModel(4), forever)
    outcomes: list[Outcome] = []
    with pytest.raises(StoreUnavailable, match="Slow Down"):
        for outcome in run:
            outcomes.append(outcome)  # noqa: PERF402
    assert told(outcomes) == [2.0 * i + 1 for i in range(before)]


def test_the_first_mini_batch_is_always_tried(pipeline: Pipeline) -> None:
    model = FakeModel(4)
    run = pipeline.run(items(20), model, lambda: -5.0)
    assert told([next(run) for _ in range(4)]) == [1.0, 3.0, 5.0, 7.0]
    with pytest.raises(OutOfTime):
        next(run)
    assert len(model.predicted) == 1


def test_a_mini_batch_that_would_not_be_done_in_time_is_not_begun(pipeline: Pipeline) -> None:
    """Asked in turn: for the rows' wait, before and after computing (20 s), and whether to go on in 15 s."""
    model = FakeModel(4)
    run = pipeline.run(items(20), model, counting_down(35, 35, 15, 15))
    assert len([next(run) for _ in range(4)]) == 4
    with pytest.raises(OutOfTime):
        next(run)
    model = FakeModel(4)
    assert len(list(pipeline.run(items(8), model, counting_down(60, 60, 40, 40, 40, 40, 20)))) == 8


def test_a_row_that_hangs_does_not_hold_the_invocation_past_its_time(
    pipeline: Pipeline, model: FakeModel
) -> None:
    model._on_predict = lambda: wait_until(lambda: "5" in model.encoded)
    began = time.monotonic()
    run = pipeline.run(items(20, _5="hang"), model, lambda: began + 0.3 - time.monotonic())
    outcomes: list[Outcome] = []
    with pytest.raises(OutOfTime):
        for outcome in run:
            outcomes.append(outcome)  # noqa: PERF402
    # The four before it as a mini-batch, the one beside it alone; had it waited, this would not end.
    assert told(outcomes) in ([1.0, 3.0, 5.0, 7.0], [1.0, 3.0, 5.0, 7.0, 9.0])
    assert model.encoding == 1


def test_threads_that_hang_are_given_up_and_the_next_invocation_has_as_many(
    pipeline: Pipeline, model: FakeModel
) -> None:
    with pytest.raises(OutOfTime):
        list(pipeline.run(items(THREADS, **{f"_{i}": "hang" for i in range(THREADS)}), model, lambda: 0.05))
    assert len(list(pipeline.run(items(20), FakeModel(4), lambda: 60.0))) == 20


def test_a_row_at_work_is_waited_for_before_an_exception_leaves(
    pipeline: Pipeline, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwise.prediction.pipeline.LEAVE_S", 60)
    model.mini_batch = 1
    model._on_predict = lambda: wait_until(lambda: "1" in model.encoded)
    timer = threading.Timer(0.1, model.release.set)
    with pytest.raises(ModelError):
        timer.start()
        list(pipeline.run(items(2, _0="ModelError", _1="hang"), model, forever))
    assert model.encoding == 0
    timer.join()


def test_first_rows_that_hang_end_it_before_anything_is_done(pipeline: Pipeline, model: FakeModel) -> None:
    with pytest.raises(OutOfTime):
        list(pipeline.run(items(8, _0="hang"), model, lambda: 0.05))


@pytest.mark.parametrize(
    ("order", "error"), [("ModelError", ModelError), ("bug", ZeroDivisionError), ("StoreUnavailable", None)]
)
def test_an_exception_leaves_no_row_at_work(
    pipeline: Pipeline, order: str, error: type[Exception] | None
) -> None:
    model = FakeModel(2)
    with pytest.raises(error or StoreUnavailable):
        list(pipeline.run(items(200, _2=order), model, forever))
    assert model.encoding == 0
    made = len(model.encoded)
    assert made < 200
    assert len(list(pipeline.run(items(9), FakeModel(), forever))) == 9
    assert len(model.encoded) == made


def test_threads_grow_with_memory() -> None:
    assert [decode_threads(memory_mb) for memory_mb in (1024, 1769, 3538, 10240)] == [6, 6, 8, 16]
