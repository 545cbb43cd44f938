"""Published bundles: found, pinned, fetched, and never believed without their digest."""

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwise.errors import BundleError, ModelError, StoreUnavailable
from fanwise.model.bundle import (
    BundleFile,
    Conversion,
    Digest,
    digest_of,
    fetch,
    needed,
    read_digest,
    resolve,
    sha256_of,
)
from fanwise.model.layout import Layout
from fanwise.model.signature import Signature, TensorSpec
from fanwise.records import ModelRef
from fanwise.storage import Body, FolderBackend, Storage

SIGNATURE = Signature({"x": TensorSpec("float32", (None, 2))}, {"y": TensorSpec("float32", (None, 2))})
CONTRACT = b'{"inputs": {"x": {"kind": "number", "columns": ["age", "income"]}}}'
FILES = {
    "model.json": CONTRACT,
    "frozen/saved_model.pb": b"frozen",
    "saved_model/saved_model.pb": b"graph",
    "saved_model/variables/variables.index": b"index",
}


def publish(
    bucket: Path,
    name: str,
    files: dict[str, bytes],
    *,
    runtimes: tuple[str, ...] = ("tensorflow",),
    conversion: Conversion | None = None,
) -> Path:
    folder = bucket / "models" / name
    folder.mkdir(parents=True)
    for path, body in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
    hashes = {path: sha256_of(folder / path) for path in files}
    digest = Digest(
        digest=digest_of(hashes),
        files={path: BundleFile(hashes[path], len(body)) for path, body in files.items()},
        runtimes=runtimes,  # type: ignore[arg-type]
        signature=SIGNATURE,
        prepared_by="a test",
        conversion=conversion,
    )
    (folder / "digest.json").write_bytes(msgspec.json.encode(digest))
    return folder


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    publish(folder, "digits/1", FILES)
    publish(folder, "digits/2", FILES | {"labels.txt": b"a\nb\n"})
    publish(folder, "other/1", {"saved_model/saved_model.pb": b"x"})
    return folder


@pytest.fixture
def storage(bucket: Path) -> Storage:
    return Storage({"m": FolderBackend(bucket, writable=False)}, s3=False)


@pytest.fixture
def ref(storage: Storage) -> ModelRef:
    return resolve(storage, "m", "digits@1")


def test_a_name_is_pinned_with_all_that_planning_needs(ref: ModelRef) -> None:
    assert ref.uri == "s3://m/models/digits/1"
    assert (ref.name, ref.version, ref.runtime) == ("digits", "1", "tensorflow")
    assert ref.digest.startswith("sha256:")
    assert ref.kinds == {"age": "number", "income": "number"}


def test_without_a_contract_kinds_go_by_the_signature(storage: Storage) -> None:
    assert resolve(storage, "m", "other@1").kinds == {"x": "number"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("digits", "model 'digits' has no version; write NAME@VERSION; there is digits@1, digits@2"),
        ("digits@3", "model 'digits@3' is not published in m; there is digits@1, digits@2"),
        ("zebra@1", "is not published in m; there is digits@1, digits@2, other@1"),
        ("../digits@1", "is not NAME@VERSION"),
        ("digits@1/../2", "is not NAME@VERSION"),
        ("@1", "is not NAME@VERSION"),
        ("s3://m/models/digits/1", "has no version; write NAME@VERSION"),
        ("s3://m/models/digits@1", "is not NAME@VERSION"),
        ("/models/digits@1", "is not NAME@VERSION"),
        ("digits@1/saved_model", "is not NAME@VERSION"),
        ("digits@..", "is not NAME@VERSION"),
        ("digits%2F..@1", "is not NAME@VERSION"),
        ("ｄｉｇｉｔｓ@1", "is not NAME@VERSION"),  # noqa: RUF001
        ("digits@sha256:0", "is not NAME@VERSION"),
    ],
)
def test_a_model_that_is_not_there(storage: Storage, model: str, message: str) -> None:
    with pytest.raises(BundleError) as refused:
        resolve(storage, "m", model)
    assert message in str(refused.value)


def test_an_empty_bucket_says_so(tmp_path: Path) -> None:
    empty = Storage({"m": FolderBackend(tmp_path, writable=False)}, s3=False)
    with pytest.raises(BundleError, match="not published in m; it holds no models"):
        resolve(empty, "m", "digits@1")


def test_a_runtime_that_the_bundle_is_not_made_for(bucket: Path, storage: Storage) -> None:
    assert resolve(storage, "m", "digits@1", "tensorflow").runtime == "tensorflow"
    with pytest.raises(
        BundleError, match="'digits@1' is not made for runtime 'litert'; it is for tensorflow"
    ):
        resolve(storage, "m", "digits@1", "litert")
    publish(bucket, "both/1", FILES, runtimes=("litert", "tensorflow"))
    assert resolve(storage, "m", "both@1").runtime == "litert"
    assert resolve(storage, "m", "both@1", offered=("tensorflow",)).runtime == "tensorflow"


def test_why_a_bundle_is_not_made_for_litert_is_said(bucket: Path, storage: Storage) -> None:
    why = Conversion(rows=8, difference=0.5, refused="converted, its outputs differ by 0.5")
    publish(bucket, "plain/1", FILES, conversion=why)
    says = "it is for tensorflow (not for litert: converted, its outputs differ by 0.5)"
    with pytest.raises(BundleError, match=re.escape(says)):
        resolve(storage, "m", "plain@1", "litert")
    with pytest.raises(
        BundleError, match=re.escape(says.removeprefix("it ")) + ", and this stack runs litert"
    ):
        resolve(storage, "m", "plain@1", offered=("litert",))


def test_a_runtime_that_the_stack_does_not_offer_is_not_laid_to_the_model(
    bucket: Path, storage: Storage
) -> None:
    publish(bucket, "both/1", FILES, runtimes=("litert", "tensorflow"))
    with pytest.raises(BundleError) as refused:
        resolve(storage, "m", "both@1", "tensorflow", offered=("litert",))
    assert str(refused.value) == (
        "runtime 'tensorflow' is not on this stack, which runs litert; ask for litert or auto, or deploy the stack"
        " with PredictBatchImageUri, the image with TensorFlow"
    )
    with pytest.raises(BundleError) as refused:
        resolve(storage, "m", "both@1", "litert", offered=("tensorflow",))
    assert str(refused.value) == (
        "runtime 'litert' is not on this stack, which runs tensorflow; ask for tensorflow or auto"
    )
    publish(bucket, "light/1", FILES, runtimes=("litert",))
    with pytest.raises(BundleError) as refused:
        resolve(storage, "m", "light@1", "auto", offered=("tensorflow",))
    assert str(refused.value) == (
        "model 'light@1' is for litert, and this stack runs tensorflow; publish it for that"
    )


def test_a_contract_that_was_changed_is_not_read(bucket: Path, storage: Storage) -> None:
    (bucket / "models/digits/1/model.json").write_text("{}")
    with pytest.raises(BundleError, match=r"digits/1/model.json: not the file that was published"):
        resolve(storage, "m", "digits@1")
    (bucket / "models/digits/1/model.json").unlink()
    with pytest.raises(BundleError, match=r"model.json: no such object; publish the model again"):
        resolve(storage, "m", "digits@1")


def test_the_files_that_run_it_are_fetched_once(storage: Storage, ref: ModelRef, tmp_path: Path) -> None:
    folder = fetch(storage, ref, tmp_path / "models")
    assert folder == tmp_path / "models" / f"{ref.digest.removeprefix('sha256:')}-tensorflow"
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found.keys() == {"digest.json", "model.json", "frozen/saved_model.pb"}  # the SavedModel is not run
    assert found["frozen/saved_model.pb"] == b"frozen"
    before = storage.requests()
    assert fetch(storage, ref, tmp_path / "models") == folder
    assert storage.requests() == before
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [folder.name]


def test_a_bundle_with_no_file_but_its_digest_is_fetched(
    bucket: Path, storage: Storage, tmp_path: Path
) -> None:
    publish(bucket, "bare/1", {})
    folder = fetch(storage, resolve(storage, "m", "bare@1"), tmp_path / "cache")
    assert [path.name for path in folder.iterdir()] == ["digest.json"]


def test_what_runs_where_nothing_is_frozen() -> None:
    hashes = {"saved_model/saved_model.pb": "1", "model.keras": "2", "labels.txt": "3"}
    files = {name: BundleFile(sha256, 1) for name, sha256 in hashes.items()}
    digest = Digest(
        digest=digest_of(hashes), files=files, runtimes=("tensorflow",), signature=SIGNATURE, prepared_by=""
    )
    assert needed(digest, "tensorflow") == ["labels.txt", "saved_model/saved_model.pb"]


def test_a_runtime_gets_the_files_that_it_runs_and_not_the_others(
    bucket: Path, storage: Storage, tmp_path: Path
) -> None:
    files = FILES | {"model.tflite": b"lite", "model.keras": b"keras", "labels.txt": b"a\nb\n"}
    publish(bucket, "both/1", files, runtimes=("litert", "tensorflow"))
    runs = {"litert": "model.tflite", "tensorflow": "frozen/saved_model.pb"}
    for runtime, model in runs.items():
        ref = resolve(storage, "m", "both@1", runtime)  # type: ignore[arg-type]
        folder = fetch(storage, ref, tmp_path / "models")
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert found == {"digest.json", "labels.txt", "model.json", model}
    before = storage.requests()
    for runtime in runs:  # neither took the other's place
        fetch(storage, resolve(storage, "m", "both@1", runtime), tmp_path / "models")  # type: ignore[arg-type]
    assert storage.requests().gets - before.gets == 2 * 2  # digest.json and model.json, to resolve


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "frozen/saved_model.pb").write_bytes(b"frozem"),
        lambda folder: (folder / "frozen/saved_model.pb").write_bytes(b""),
        lambda folder: (folder / "model.json").unlink(),
        lambda folder: (folder / "digest.json").write_bytes(b"{"),
        lambda folder: (folder / "digest.json").unlink(),
        lambda folder: (folder / "labels.txt").write_bytes(b"not published"),
        lambda folder: (folder / "frozen/more").symlink_to(folder),
    ],
)
def test_what_a_dead_process_left_is_fetched_again(
    storage: Storage, ref: ModelRef, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    folder = fetch(storage, ref, tmp_path)
    damage(folder)
    assert fetch(storage, ref, tmp_path) == folder
    assert (folder / "frozen/saved_model.pb").read_bytes() == b"frozen"
    assert (folder / "model.json").read_bytes() == CONTRACT
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert there == ["digest.json", "frozen/saved_model.pb", "model.json"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "frozen/saved_model.pb").write_bytes(b"frozem"),
            "1/frozen/saved_model.pb: not the file that was",
        ),
        (lambda f: (f / "frozen/saved_model.pb").unlink(), "1/frozen/saved_model.pb: no such object"),
        (lambda f: (f / "digest.json").unlink(), "1/digest.json: no such object"),
        (lambda f: (f / "digest.json").write_bytes(b"{}"), "1/digest.json: not a bundle's digest"),
        (
            lambda f: (f / "digest.json").write_bytes(b'{"digest": "\xff"}'),
            "1/digest.json: not a bundle's digest",
        ),
        (
            lambda f: (f / "digest.json").write_bytes(b'{"x": ' + b"[" * 9999),
            "1/digest.json: not a bundle's digest",
        ),
        (
            lambda f: os.replace(f.parent / "2/digest.json", f / "digest.json"),
            "the job was planned with sha256:",
        ),
    ],
)
def test_what_was_changed_after_it_was_published_is_not_run(
    bucket: Path,
    storage: Storage,
    ref: ModelRef,
    tmp_path: Path,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    damage(bucket / "models/digits/1")
    with pytest.raises(ModelError) as refused:
        fetch(storage, ref, tmp_path / "models")
    assert message in str(refused.value)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_store_that_does_not_answer_is_no_broken_model(ref: ModelRef, tmp_path: Path) -> None:
    class Busy(FolderBackend):
        """A bucket that asks to wait."""

        def read(self, *_: object) -> Body:
            raise StoreUnavailable("slow down")

    busy = Storage({"m": Busy(tmp_path, writable=False)}, s3=False)
    with pytest.raises(StoreUnavailable):
        fetch(busy, ref, tmp_path / "models")


def test_many_may_fetch_at_once(storage: Storage, ref: ModelRef, tmp_path: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(storage, ref, tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "bucket") == [found[0].name]


HASHES = st.dictionaries(
    st.text(min_size=1, max_size=8), st.text("0123456789abcdef", min_size=64, max_size=64)
)


@given(HASHES, st.randoms())
def test_a_digest_is_of_the_files_and_not_of_their_order(files: dict[str, str], random: "st.Random") -> None:  # type: ignore[name-defined]
    shuffled = list(files.items())
    random.shuffle(shuffled)
    digest = digest_of(files)
    assert digest == digest_of(dict(shuffled))
    assert digest == digest_of(files | {"digest.json": "0", "profile.json": "1"})
    assert digest != digest_of(files | {"one more": "2"})
    for name, sha256 in files.items():
        if name not in ("digest.json", "profile.json"):
            assert digest != digest_of(files | {name: sha256[::-1] + "x"})


def test_a_digest_is_of_what_decides_how_items_are_answered() -> None:
    files = {"model.tflite": "0" * 64}
    assert digest_of(files) == digest_of(files, layout=Layout(row_shapes={"x": (4,)}))
    layouts = [
        Layout(),
        Layout(item_at_a_time=True),
        Layout(item_at_a_time=True, whole=("y",)),
        Layout(item_at_a_time=True, whole=("y",), batched=False),
    ]
    assert len({digest_of(files, layout=layout) for layout in layouts}) == len(layouts)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a//b", "."])
def test_a_digest_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    text = json.dumps(
        {
            "digest": digest_of({name: "0"}),
            "files": {name: {"sha256": "0", "size_bytes": 1}},
            "runtimes": ["tensorflow"],
            "signature": {"inputs": {}, "outputs": {}},
            "prepared_by": "",
        }
    )
    with pytest.raises(BundleError, match="is not a file inside the bundle"):
        read_digest(text.encode(), "digest.json")


def test_a_digest_has_to_agree_with_itself(bucket: Path) -> None:
    text = (bucket / "models/digits/1/digest.json").read_bytes().replace(b"saved_model.pb", b"sawed_model.pb")
    with pytest.raises(BundleError, match=r"digest.json: says sha256:\w+, but its files make sha256:\w+"):
        read_digest(text, "digest.json")
