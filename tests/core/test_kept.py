"""What an execution environment keeps: one plan and one model at a time, and nothing of a load that failed."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from obstore.store import MemoryStore

from fake_model import FakeModel, publish
from fanwise.errors import ModelError, StoreUnavailable
from fanwise.model.bundle import BundleFile, Digest, digest_of, resolve
from fanwise.model.signature import Signature
from fanwise.prediction.kept import Kept
from fanwise.records import ModelRef
from fanwise.storage import ObstoreBackend, Storage
from ledger import HOME, Ledger


class Loader:
    """Stands where bundles are fetched and loaded; keeps count, and what was loaded while another was kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: list[str] = []
        self.kept_meanwhile: list[object] = []
        self.kept: Kept | None = None
        self.fails: Exception | None = None
        monkeypatch.setattr("fanwise.prediction.kept.bundle.fetch", self.fetch)
        monkeypatch.setattr("fanwise.prediction.kept.load", self.load)

    def fetch(self, storage: Storage, ref: ModelRef, folder: Path) -> Path:
        if self.fails is not None:
            raise self.fails
        return folder / ref.digest

    def load(self, folder: Path, ref: ModelRef, *, memory_mb: int) -> FakeModel:
        assert (folder.name, memory_mb) == (ref.digest, 2048)
        assert self.kept is not None
        self.kept_meanwhile.append(self.kept._model)
        self.loaded.append(ref.digest)
        return FakeModel()


def ref(digest: str) -> ModelRef:
    return ModelRef(name="m", version="1", digest=digest, uri="s3://m/m/1", runtime="tensorflow", kinds={})


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    return Loader(monkeypatch)


@pytest.fixture
def kept(tmp_path: Path, loader: Loader) -> Kept:
    loader.kept = Kept(Storage({}, s3=False), tmp_path, memory_mb=2048)
    return loader.kept


def test_a_model_is_loaded_once(kept: Kept, loader: Loader) -> None:
    assert kept.model(ref("a")) is kept.model(ref("a"))
    assert loader.loaded == ["a"]


def test_another_digest_takes_the_place_of_the_model_before_it_is_loaded(kept: Kept, loader: Loader) -> None:
    for digest in ("a", "b", "a"):
        kept.model(ref(digest))
    assert loader.loaded == ["a", "b", "a"]
    assert loader.kept_meanwhile == [None, None, None]


def test_so_does_the_same_digest_on_another_runtime(kept: Kept, loader: Loader) -> None:
    on_litert = msgspec.structs.replace(ref("a"), runtime="litert")
    assert kept.model(ref("a")) is not kept.model(on_litert)
    assert loader.loaded == ["a", "a"]


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), PermissionError("no"), ModelError("changed")])
def test_a_bundle_that_cannot_be_had_is_a_model_error(kept: Kept, loader: Loader, error: Exception) -> None:
    kept.model(ref("a"))
    loader.fails = error
    with pytest.raises(ModelError, match=str(error)):
        kept.model(ref("b"))
    loader.fails = None
    kept.model(ref("b"))
    assert loader.loaded == ["a", "b"]


def test_a_store_that_does_not_answer_says_nothing_of_the_model(kept: Kept, loader: Loader) -> None:
    loader.fails = StoreUnavailable("503")
    with pytest.raises(StoreUnavailable):
        kept.model(ref("a"))


def test_a_bundle_is_fetched_by_its_digest_and_nothing_else(tmp_path: Path) -> None:
    """The real one: a version that was written again under its name is not loaded."""
    storage = Storage({"models": ObstoreBackend(MemoryStore())}, s3=False)
    publish(storage, "models")
    found = resolve(storage, "models", "arithmetic@1")
    other: Any = {**{name: getattr(found, name) for name in found.__struct_fields__}, "digest": "sha256:0"}
    with pytest.raises(ModelError, match="the job was planned with sha256:0"):
        Kept(storage, tmp_path, memory_mb=2048).model(ModelRef(**other))


def test_after_a_death_what_is_warm_is_verified_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process of an execution environment finds what the dead one left in /tmp."""
    published, loaded = b"the model", []
    files = {"frozen/saved_model.pb": BundleFile(hashlib.sha256(published).hexdigest(), len(published))}
    storage = Storage({"models": ObstoreBackend(MemoryStore())}, s3=False)
    storage.write("s3://models/m/1/frozen/saved_model.pb", published)
    digest = Digest(
        digest=digest_of({name: file.sha256 for name, file in files.items()}),
        files=files,
        runtimes=("tensorflow",),
        signature=Signature({}, {}),
        prepared_by="a test",
    )
    storage.write("s3://models/m/1/digest.json", msgspec.json.encode(digest))

    def load(folder: Path, ref: ModelRef, *, memory_mb: int) -> FakeModel:
        loaded.append((folder / "frozen/saved_model.pb").read_bytes())
        (folder / "frozen/saved_model.pb").write_bytes(b"the madel")  # as it dies
        return FakeModel()

    monkeypatch.setattr("fanwise.prediction.kept.load", load)
    where = msgspec.structs.replace(ref(digest.digest), uri="s3://models/m/1")
    for _ in range(3):
        Kept(storage, tmp_path, memory_mb=2048).model(where)
    assert loaded == [published] * 3


def test_a_plan_is_read_once_and_another_jobs_takes_its_place(tmp_path: Path) -> None:
    ledger = Ledger([3])
    other = HOME.replace("items-", "others-")
    ledger.storage.write(other + "job.json", ledger.storage.read(HOME + "job.json"))
    kept = Kept(ledger.storage, tmp_path, memory_mb=2048)
    before = ledger.storage.requests().gets
    for home in (HOME, HOME, other, other, HOME):
        kept.job(home)
    assert ledger.storage.requests().gets - before == 3
