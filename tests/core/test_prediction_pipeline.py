"""The pipeline: order, overlap, bounded look-ahead, deadlines, and nothing left at work behind."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
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
from fanwise.model.contract import Contract
from fanwise.model.model import Model, Row
from fanwise.model.runtime import ComputeError, Tensors
from fanwise.model.signature import TensorSpec
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
    return [type(result).__name__ if isinstance(result, ItemError) else result["y"] for _, result in outcomes]


def run_to_its_end(run: Generator[list[Outcome]]) -> list[Outcome]:
    return [outcome for outcomes in run for outcome in outcomes]


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
    outcomes = run_to_its_end(pipeline.run(items(10, _3="ShapeMismatch", _9="BadUri"), model, forever))
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
    outcomes = run_to_its_end(pipeline.run(given_items, model, forever))
    pipeline._pool.shutdown()
    assert [given for given, _ in outcomes] == given_items
    wanted = {"": None, "parse": "NotFound"}
    assert told(outcomes) == [wanted.get(order, order) or 2.0 * i + 1 for i, order in enumerate(orders)]
    assert sum(map(len, model.predicted)) == sum(
        order in ("", "PredictionFailed", "NonFiniteResult") for order in orders
    )


class Doubling:
    """A runtime for numbers: y = 2x, and it rejects what is negative. `seen` are the x of each mini-batch."""

    inputs = {"x": TensorSpec("float32", (4,))}  # noqa: RUF012
    outputs = {"y": TensorSpec("float32", (4,))}  # noqa: RUF012

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def predict(self, tensors: Tensors) -> dict[str, Any]:
        self.seen.append(tensors["x"].tolist())
        if (tensors["x"] < 0).any():
            raise ComputeError("negative", of_values=True)
        return {"y": tensors["x"] * 2}


def numbers(values: Sequence[str]) -> list[Item | ItemError]:
    """An item for each `x`, as JSON; `parse` is none."""
    return [
        NotFound("not even an item")
        if value == "parse"
        else msgspec.structs.replace(item(i), inputs={"x": msgspec.Raw(value.encode())} if value else {})
        for i, value in enumerate(values)
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["", "null", "[1]", "parse", "-7"]), st.integers(0, 40)), max_size=6)
)
def test_the_model_sees_the_same_mini_batches_however_many_go_together(wrong: list[tuple[str, int]]) -> None:
    """What is wrong stands among numbers that are right, so many of them before it."""
    values = [str(n) for n in range(90)]
    for position, (value, before) in enumerate(wrong):
        values.insert(position + before, value)
    given_items, seen = numbers(values), []
    for short_s in (0.0, 1000.0):  # never more than a mini-batch in one go, and always twice as many
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fanwise.prediction.pipeline.SHORT_S", short_s)
            runtime = Doubling()
            run = Pipeline(Storage({}, s3=False), threads=1).run(
                given_items, Model(Contract(), {}, runtime), forever
            )
            some = list(run)
        assert max(map(len, some)) == (32 if short_s else 4) or wrong
        outcomes = [outcome for outcomes in some for outcome in outcomes]
        assert [given for given, _ in outcomes] == given_items
        names = {"": "MissingInput", "null": "NotANumber", "[1]": "ShapeMismatch"}
        names |= {"parse": "NotFound", "-7": "PredictionFailed"}
        assert told(outcomes) == [names.get(value) or 2.0 * float(value) for value in values]
        # Not those of a row alone; and those once that were in one go with a rejected one.
        seen.append(list(dict.fromkeys(tuple(batch) for batch in runtime.seen if len(set(batch)) == 4)))
    assert seen[0] == seen[1]


def test_rows_that_go_together_leave_those_before_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwise.prediction.pipeline.SHORT_S", 1000.0)
    run = Pipeline(Storage({}, s3=False), threads=1).run(
        numbers([str(n) for n in range(40)]),
        Model(Contract(), {}, Doubling()),
        counting_down(9, 8, 8, 8, 5, 2),
    )
    assert [len(next(run)), len(next(run))] == [4, 8]
    with pytest.raises(OutOfTime):
        next(run)


def test_mini_batches_are_full_but_for_the_last(pipeline: Pipeline) -> None:
    model = FakeModel(4)
    list(pipeline.run(items(14, _1="NotFound", _6="ShapeMismatch"), model, forever))
    assert [len(batch) for batch in model.predicted] == [4, 4, 4]
    assert [x for batch in model.predicted for x in batch] == [
        i for i in map(float, range(14)) if i not in (1, 6)
    ]


def test_objects_are_read_through_the_store(pipeline: Pipeline, storage: Storage) -> None:
    storage.write("s3://in/a/7", b"7")
    pair = [item(0, uri="s3://in/a/7"), item(1, uri="s3://in/none")]
    outcomes = run_to_its_end(pipeline.run(pair, FakeModel(), forever))
    assert told(outcomes) == [15.0, "NotFound"]
    assert storage.requests().gets == 2


def test_the_next_rows_are_made_while_the_model_computes(pipeline: Pipeline) -> None:
    """The model waits for rows of the next mini-batch inside its first call: without overlap it would not end."""
    model = FakeModel(4)

    def waits_for_the_next() -> None:
        if not model.predicted:
            wait_until(lambda: len(model.encoded) >= 8)

    model._on_predict = waits_for_the_next
    assert len(run_to_its_end(pipeline.run(items(20), model, forever))) == 20


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
        for some in run:
            outcomes += some
    assert told(outcomes) == [2.0 * i + 1 for i in range(before)]


def test_the_first_mini_batch_is_always_tried(pipeline: Pipeline) -> None:
    model = FakeModel(4)
    run = pipeline.run(items(20), model, lambda: -5.0)
    assert told(next(run)) == [1.0, 3.0, 5.0, 7.0]
    with pytest.raises(OutOfTime):
        next(run)
    assert len(model.predicted) == 1


def test_a_mini_batch_that_would_not_be_done_in_time_is_not_begun(pipeline: Pipeline) -> None:
    """Asked in turn: for the rows' wait, before and after computing (20 s), and whether to go on in 15 s."""
    model = FakeModel(4)
    run = pipeline.run(items(20), model, counting_down(35, 35, 15, 15))
    assert len(next(run)) == 4
    with pytest.raises(OutOfTime):
        next(run)
    model = FakeModel(4)
    run = pipeline.run(items(8), model, counting_down(60, 60, 40, 40, 40, 40, 20))
    assert len(run_to_its_end(run)) == 8


def test_a_row_that_hangs_does_not_hold_the_invocation_past_its_time(
    pipeline: Pipeline, model: FakeModel
) -> None:
    model._on_predict = lambda: wait_until(lambda: "5" in model.encoded)
    began = time.monotonic()
    run = pipeline.run(items(20, _5="hang"), model, lambda: began + 0.3 - time.monotonic())
    outcomes: list[Outcome] = []
    with pytest.raises(OutOfTime):
        for some in run:
            outcomes += some
    # The four before it as a mini-batch, the one beside it alone; had it waited, this would not end.
    assert told(outcomes) in ([1.0, 3.0, 5.0, 7.0], [1.0, 3.0, 5.0, 7.0, 9.0])
    assert model.encoding == 1


def test_threads_that_hang_are_given_up_and_the_next_invocation_has_as_many(
    pipeline: Pipeline, model: FakeModel
) -> None:
    with pytest.raises(OutOfTime):
        list(pipeline.run(items(THREADS, **{f"_{i}": "hang" for i in range(THREADS)}), model, lambda: 0.05))
    assert len(run_to_its_end(pipeline.run(items(20), FakeModel(4), lambda: 60.0))) == 20


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
    assert len(run_to_its_end(pipeline.run(items(9), FakeModel(), forever))) == 9
    assert len(model.encoded) == made


def test_threads_grow_with_memory() -> None:
    assert [decode_threads(memory_mb) for memory_mb in (1024, 1769, 3538, 10240)] == [6, 6, 8, 16]
