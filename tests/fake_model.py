"""A model that behaves, without a runtime: y = 2x + 1, and whatever an item orders it to do wrong.

An item gives `x` and, if it likes, `order`: the name of an `ItemError` to come to, `StoreUnavailable`, `hang` (in
a decode thread, until the test releases it), `die` (the process ends), `bug` (an exception nobody foresaw) or
`ModelError`. An item with a `uri` gives either as the object's text.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from fanwise import errors
from fanwise.errors import Forbidden, ItemError, MissingInput, ModelError, NotFound, StoreUnavailable
from fanwise.model.bundle import BundleFile, Digest, digest_of
from fanwise.model.inputs import Values
from fanwise.model.model import Model, Row, Stack
from fanwise.model.signature import Signature, TensorSpec
from fanwise.prediction.kept import Kept
from fanwise.records import Kind, ModelRef, Runtime
from fanwise.storage import Storage

KINDS: dict[str, Kind] = {"order": "text", "x": "number"}
REFERENCE = "arithmetic@1"


class Died(Exception):
    """The process ended; `error` is the name that Step Functions sees."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def item_error(name: str) -> ItemError | None:
    """The error of that name, if it is one of an item's."""
    found = getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, ItemError):
        return found(f"as the item ordered: {name}")
    return None


class FakeModel(Model):
    """The model. `predicted` are the x of each mini-batch it was given; `encoding` counts items at work now."""

    def __init__(self, mini_batch: int = 4, on_predict: Callable[[], None] = lambda: None) -> None:
        self.mini_batch = self.most_at_once = mini_batch
        self.kinds = KINDS
        self.is_fetched = True  # an item may have a `uri`
        self.release = threading.Event()
        self.predicted: list[list[float]] = []
        self.encoded: list[str] = []
        self.encoding = 0
        self._on_predict = on_predict
        self._counting = threading.Lock()

    def encode(
        self,
        inputs: Mapping[str, msgspec.Raw],
        uri: str | None,
        read: Callable[[str], bytes],
        resolve_uri: Callable[[str], str],
    ) -> Row:
        with self._counting:
            self.encoding += 1
        try:
            x, order = _values(inputs) if uri is None else _values_of(_text(read, resolve_uri(uri)))
            self.encoded.append(x)
            self._obey(order)
            if not x:
                raise MissingInput("the item has no x")
            return {"x": np.array(float(x)), "order": np.array(order)}
        finally:
            with self._counting:
                self.encoding -= 1

    def with_all_scores(self) -> Self:
        return self

    def stack(self, items: Sequence[Values]) -> Stack | None:
        return None

    def _obey(self, order: str) -> None:
        error = item_error(order)
        if error is not None and error.stage not in ("predict", "result"):
            raise error
        if order == "StoreUnavailable":
            raise StoreUnavailable("503 Slow Down")
        if order == "bug":
            raise ZeroDivisionError("nobody foresaw this")
        if order == "hang":
            self.release.wait()

    def predict(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        assert 1 <= len(rows) <= self.mini_batch
        self._on_predict()
        self.predicted.append([float(row["x"]) for row in rows])
        orders = [str(row["order"]) for row in rows]
        if "die" in orders:
            raise Died("Runtime.ExitError")
        if "ModelError" in orders:
            raise ModelError("output 'y' has not one row an item")
        return [
            item_error(order) or {"y": 2 * float(row["x"]) + 1}
            for row, order in zip(rows, orders, strict=True)
        ]


class MendedModel(FakeModel):
    """A model that obeys some orders no more: items that failed by them are predicted."""

    def __init__(self, *mended: str, mini_batch: int = 4) -> None:
        super().__init__(mini_batch)
        self.mended = mended

    def _obey(self, order: str) -> None:
        super()._obey("" if order in self.mended else order)

    def predict(self, rows: Sequence[Row]) -> list[dict[str, object] | ItemError]:
        return super().predict(
            [{**row, "order": np.array("")} if str(row["order"]) in self.mended else row for row in rows]
        )


def _values(inputs: Mapping[str, msgspec.Raw]) -> tuple[str, str]:
    x, order = inputs.get("x", b""), inputs.get("order")
    return bytes(x).decode(), "" if order is None else msgspec.json.decode(order, type=str)


def _values_of(text: str) -> tuple[str, str]:
    return (text, "") if text.lstrip("-").isdigit() else ("0", text)


def _text(read: Callable[[str], bytes], uri: str) -> str:
    try:
        return read(uri).decode()
    except FileNotFoundError as error:
        raise NotFound(str(error)) from error
    except PermissionError as error:
        raise Forbidden(str(error)) from error


@dataclass
class KeptModel(Kept):
    """What an environment keeps, with the fake in place of what a bundle loads to."""

    storage: Storage
    fake: FakeModel = field(default_factory=FakeModel)
    fails: Exception | None = None
    loads: int = 0

    def __post_init__(self) -> None:
        super().__init__(self.storage, Path("nowhere"), memory_mb=1769)

    def model(self, ref: ModelRef) -> Model:
        self.loads += 1
        if self.fails is not None:
            raise self.fails
        return self.fake


def publish(
    storage: Storage,
    bucket: str,
    runtime: Runtime = "tensorflow",
    contents: Mapping[str, bytes] | None = None,
) -> None:
    """Put what PlanJob reads of the model into a model bucket, with files for those who fetch the bundle."""
    contents = contents or {}
    files = {name: BundleFile(hashlib.sha256(body).hexdigest(), len(body)) for name, body in contents.items()}
    digest = Digest(
        digest=digest_of({name: file.sha256 for name, file in files.items()}),
        files=files,
        runtimes=(runtime,),
        signature=Signature(
            {"order": TensorSpec("string", (None,)), "x": TensorSpec("float32", (None,))},
            {"y": TensorSpec("float32", (None,))},
        ),
        prepared_by="a test",
    )
    name, _, version = REFERENCE.partition("@")
    home = f"s3://{bucket}/models/{name}/{version}/"
    for path, body in contents.items():
        storage.write(home + path, body)
    storage.write(home + "digest.json", msgspec.json.encode(digest))
