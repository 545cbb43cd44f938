"""10,000 files as people nearly get them right: whatever they hold, an error of ours or a whole account.

The doors that they come in by are the real ones: a job is planned, predicted and verified; manifests, contracts
and digests are read and resolved. No exception but our own, and no line of items that is not accounted for.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

import near_valid
from fanwise.errors import BundleError, InputError, ModelError
from fanwise.items import columns, cutting, dead_letters, lines, parsing
from fanwise.items.manifest import read_manifest
from fanwise.model import bundle
from fanwise.model.binding import bind, mini_batch, read_labels
from fanwise.model.bundle import Digest, digest_of
from fanwise.model.contract import Contract, ImageInput, read_contract
from fanwise.model.model import Model
from fanwise.model.runtime import Tensors
from fanwise.model.signature import Signature, TensorSpec
from fanwise.planning.start import Start, read_start
from fanwise.prediction.batch import Environment
from fanwise.prediction.kept import Kept
from fanwise.prediction.pipeline import Pipeline
from fanwise.records import Entry, ModelRef, Round, job_prefix
from fanwise.storage import ObstoreBackend, Storage
from fanwise_cli.verification import lines as verified_lines
from fanwise_cli.verification import verify_job
from hostile import HOSTILE
from jobs import INPUT, MODELS, RESULTS, JobCloud

# Of the 10,000, in the ordinary profile; the thorough one makes as many more as of any other test.
JSONL, JSONL_SHORT_LIMITS, CSV, CSV_SHORT_LIMITS = 2_000, 1_000, 1_500, 500
MANIFESTS, STARTS, CONTRACTS, DIGESTS = 1_500, 500, 1_500, 1_500

_Test = TypeVar("_Test", bound=Callable[..., None])

SECRETS = b"root:"  # of /etc/passwd, which no item may be answered with


def examples(number: int) -> Callable[[_Test], _Test]:
    """As many examples as said, scaled like those of the profile."""
    return settings(max_examples=number * max(settings().max_examples // 100, 1))


@dataclass
class Echo:
    """A runtime that answers with what it was given, as the model sees it."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def predict(self, tensors: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        return {name: tensors[name] for name in self.outputs}


VALUES = {
    "x": TensorSpec("float32", (4,)),
    "flag": TensorSpec("bool", (4,)),
    "text": TensorSpec("string", (4,)),
    "table": TensorSpec("int8", (4, None, None)),
}
ANSWERED = {name: VALUES[name] for name in ("x", "text")}
PHOTO = {"photo": TensorSpec("uint8", (4, 2, 2, 1))}
MODELS_OF = {
    "values": Model(Contract(), {}, Echo(VALUES, ANSWERED)),
    "photo": Model(
        Contract(inputs={"photo": ImageInput(height=2, width=2, channels=1)}), {}, Echo(PHOTO, PHOTO)
    ),
}
_PHOTO_CONTRACT = b'{"inputs": {"photo": {"kind": "image", "height": 2, "width": 2, "channels": 1}}}'


@dataclass
class KeptEcho(Kept):
    """What an environment keeps, with the real model over `Echo`."""

    storage: Storage

    def __post_init__(self) -> None:
        super().__init__(self.storage, Path("nowhere"), memory_mb=1769)

    def model(self, ref: ModelRef) -> Model:
        return MODELS_OF[ref.name]


@pytest.fixture(scope="module")
def cloud() -> Iterator[JobCloud]:
    """Both models published, and an environment that has them."""
    cloud = JobCloud()
    for name, inputs, outputs, contract in (
        ("values", VALUES, ANSWERED, None),
        ("photo", PHOTO, PHOTO, _PHOTO_CONTRACT),
    ):
        files = {} if contract is None else {"model.json": hashlib.sha256(contract).hexdigest()}
        digest = Digest(
            digest=digest_of(files),
            files={path: bundle.BundleFile(sha, len(contract or b"")) for path, sha in files.items()},
            runtimes=("tensorflow",),
            signature=Signature(inputs, outputs),
            prepared_by="a test",
        )
        home = f"s3://{MODELS}/models/{name}/1/"
        cloud.storage.write(home + "digest.json", msgspec.json.encode(digest))
        if contract is not None:
            cloud.storage.write(home + "model.json", contract)
    pipeline = Pipeline(cloud.storage, threads=2)
    cloud.environment = Environment(cloud.storage, KeptEcho(cloud.storage), pipeline, RESULTS)
    yield cloud
    cloud.close()


def run_items(cloud: JobCloud, name: str, data: bytes, model: str, batch_size: int) -> None:
    """Plan a job over these items, run it to its end, and verify it; or have it refused in our own words."""
    start = {
        "manifest": {"items": cloud.put_items(name, data), "model": f"{model}@1", "batch_size": batch_size}
    }
    event_ = {"execution": "arn:x", "started_at": "2026-01-01T00:00:00.000Z", "start": start}
    try:
        planned = msgspec.convert(cloud.plan(event_), Round)
    except InputError as error:
        check_message(str(error))
        event("refused")
        return
    home = f"s3://{RESULTS}/{job_prefix(planned.job_id)}"
    work = msgspec.json.Decoder(Entry).decode_lines(cloud.storage.read(f"s3://{RESULTS}/{planned.work_key}"))
    while work:
        entry = work.pop()
        answer = cloud.predict({"job_id": planned.job_id, "entry": msgspec.to_builtins(entry)})
        assert answer["predicted"] + answer["dead_lettered"] + answer["rest"] == entry.count
        assert answer["rest"] == 0
    ended = cloud.aggregate(json.loads(msgspec.json.encode(planned)) | {"map_run": None})
    assert ended["entries"] == 0
    found = verify_job(cloud.storage, home)
    assert found.is_proved, (found.disagreements, found.unexpected_lines, found.unchecked)
    event(f"{min(found.predicted, 3)} predicted, {min(found.dead_lettered, 3)} dead letters")
    for info in list(cloud.storage.list(home)):
        text = cloud.storage.read(f"s3://{RESULTS}/{info.key}")
        assert SECRETS not in text
        if info.key.endswith(".jsonl"):
            for line in text.splitlines():
                json.loads(line)  # every one is a line of its own, for every reader of JSON lines
        cloud.storage.delete(f"s3://{RESULTS}/{info.key}")


def check_message(message: str) -> None:
    """One line that can be printed, and not the whole file."""
    assert message
    message.encode()
    assert len(message) < 5_000


@contextmanager
def short_limits() -> Iterator[None]:
    """Lines, entries and raw remains of a few hundred bytes, so that small files go beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (lines, parsing, columns):
            patch.setattr(module, "MAX_LINE_BYTES", 120)
        for module in (lines, cutting):
            patch.setattr(module, "MAX_ENTRY_BYTES", 300)
        for module in (lines, dead_letters, verified_lines):
            patch.setattr(module, "RAW_KEPT_BYTES", 50)
        yield


models = st.sampled_from(["values", "values", "values", "photo"])
batch_sizes = st.integers(1, 8)


@examples(JSONL)
@given(near_valid.jsonl_files, models, batch_sizes)
def test_every_line_of_a_jsonl_file_is_accounted_for(
    cloud: JobCloud, data: bytes, model: str, batch_size: int
) -> None:
    run_items(cloud, "items.jsonl", data, model, batch_size)


@examples(JSONL_SHORT_LIMITS)
@given(near_valid.jsonl_files, models, batch_sizes)
def test_so_is_every_line_that_is_too_long(cloud: JobCloud, data: bytes, model: str, batch_size: int) -> None:
    with short_limits():
        run_items(cloud, "items.jsonl", data, model, batch_size)


@examples(CSV)
@given(near_valid.csv_files, models, batch_sizes)
def test_every_row_of_a_csv_file_is_accounted_for(
    cloud: JobCloud, data: bytes, model: str, batch_size: int
) -> None:
    run_items(cloud, "items.csv", data, model, batch_size)


@examples(CSV_SHORT_LIMITS)
@given(near_valid.csv_files, models, batch_sizes)
def test_so_is_every_row_that_is_too_long(cloud: JobCloud, data: bytes, model: str, batch_size: int) -> None:
    with short_limits():
        run_items(cloud, "items.csv", data, model, batch_size)


def started_or_refused(given_: object, storage: Storage) -> None:
    """Read what an execution was started with; what comes of a manifest reads back the same."""
    try:
        start = read_start(given_, storage, (f"s3://{INPUT}/",))
    except InputError as error:
        check_message(str(error))
        event(type(error).__name__)
        return
    event(type(start).__name__)
    if isinstance(start, Start):
        again = read_manifest(msgspec.json.encode(start.manifest), "again", f"s3://{INPUT}/")
        assert again == start.manifest
        assert again.items.startswith("s3://")


@examples(MANIFESTS)
@given(near_valid.files_of(near_valid.manifests))
def test_a_manifest_is_read_or_refused_in_our_words(data: bytes) -> None:
    storage = Storage({INPUT: ObstoreBackend(MemoryStore())}, s3=False)
    uri = f"s3://{INPUT}/jobs/job.json"
    storage.write(uri, data)
    started_or_refused({"manifest": uri}, storage)


@examples(STARTS)
@given(near_valid.files_of(near_valid.starts))
def test_so_is_whatever_an_execution_is_started_with(data: bytes) -> None:
    try:
        given_ = json.loads(data)
    except (ValueError, RecursionError):  # Step Functions takes JSON alone
        given_ = data
    started_or_refused(given_, Storage({INPUT: ObstoreBackend(MemoryStore())}, s3=False))


@examples(CONTRACTS)
@given(
    near_valid.files_of(near_valid.contracts), near_valid.files_of(near_valid.signatures), near_valid.labels
)
def test_a_contract_is_bound_or_refused_in_our_words(
    contract: bytes, signature: bytes, labels: bytes
) -> None:
    try:
        declared = read_contract(contract, "model.json")
        known = msgspec.json.decode(signature, type=Signature)
        names = {name: read_labels(labels, name) for name in declared.label_files()}
        bound = bind(declared, known, names)
        rows = mini_batch(known, bound)
    except BundleError as error:
        check_message(str(error))
        event("refused")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event("no signature")  # of digest.json, whose reader tells of it
        read_contract_alone(contract)
    else:
        event("bound")
        assert rows >= 1
        assert set(bound.inputs) == set(known.inputs)


def read_contract_alone(contract: bytes) -> None:
    """Read a contract; nothing but `BundleError`."""
    try:
        read_contract(contract, "model.json")
    except BundleError as error:
        check_message(str(error))


FILE_NAMES = [
    "model.json",
    "labels.txt",
    "saved_model/a",
    "../out",
    "/out",
    "a//b",
    ".",
    "",
    "a/../../out",
    "é",
    "a\\b",
]
file_names = st.sampled_from(FILE_NAMES[:3]) | st.sampled_from(FILE_NAMES)
shas = st.sampled_from([hashlib.sha256(b"{}").hexdigest(), "0", ""])
bundle_files = near_valid.objects(
    {"sha256": near_valid.mostly(shas), "size_bytes": near_valid.mostly(st.sampled_from([2, 0, -1, 2**70]))},
    {},
)
digests = near_valid.objects(
    {
        "digest": near_valid.anything,
        "files": near_valid.mostly(st.dictionaries(file_names, bundle_files, max_size=2)),
        "runtimes": near_valid.mostly(
            st.just(["tensorflow"]) | st.sampled_from([[], ["litert", "tensorflow"], ["onnx"]])
        ),
        "signature": near_valid.mostly(near_valid.signatures),
        "prepared_by": near_valid.mostly(st.just("a test")),
    },
    {"conversion": near_valid.mostly(st.just({"rows": 8, "difference": 0.5, "refused": "it differs"}))},
)

nearly_digests = st.fixed_dictionaries(
    {
        "digest": st.just(""),
        "files": st.dictionaries(
            file_names,
            st.fixed_dictionaries({"sha256": shas, "size_bytes": st.sampled_from([2, 2, 3])}),
            max_size=3,
        ),
        "runtimes": st.sampled_from([["tensorflow"], ["tensorflow", "litert"], []]),
        "signature": st.just(near_valid.GOOD_SIGNATURE),
        "prepared_by": st.just("a test"),
    }
)


def agreeing(found: Any) -> Any:
    """A digest that agrees with itself, where it has files to agree with."""
    try:
        return found | {"digest": digest_of({name: file["sha256"] for name, file in found["files"].items()})}
    except (TypeError, KeyError, AttributeError, ValueError):
        return found


@examples(DIGESTS)
@given(near_valid.files_of(st.one_of(nearly_digests.map(agreeing), digests.map(agreeing), digests)))
def test_a_digest_is_resolved_and_fetched_or_refused_in_our_words(data: bytes) -> None:
    storage = Storage({MODELS: ObstoreBackend(MemoryStore())}, s3=False)
    home = f"s3://{MODELS}/models/digits/1/"
    storage.write(home + "digest.json", data)
    for name in ("model.json", "labels.txt", "saved_model/a"):
        storage.write(home + name, b"{}")
    try:
        ref = bundle.resolve(storage, MODELS, "digits@1")
    except BundleError as error:
        check_message(str(error))
        event("refused")
        return
    with TemporaryDirectory() as temporary:
        cache = Path(temporary, "cache")
        try:
            folder = bundle.fetch(storage, ref, cache)
        except ModelError as error:
            check_message(str(error))
            event("not fetched")
        else:
            event("fetched")
            assert folder.parent == cache
            assert (folder / "digest.json").read_bytes() == data
        outside = [path.name for path in Path(temporary).iterdir()]
        assert outside == ["cache"]


# A hostile few, large ones: in a process of their own that may not have more memory than an invocation's share.


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_memory_is_bounded_whatever_a_large_file_holds(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "hostile.py", kind, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(HOSTILE)
