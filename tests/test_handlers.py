"""The handlers as Lambda runs them: settings from the environment, buckets that are folders."""

import gc
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from numpy.typing import NDArray

from fanwise import settings
from fanwise.errors import InputError
from fanwise.model.bundle import BundleFile, Digest, digest_of
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.signature import Signature, TensorSpec
from fanwise_local.template import stack_root

MODEL_JSON = b'{"outputs": {"y": {"keep": "raw"}}}'
SIGNATURE = Signature({"x": TensorSpec("float32", (None,))}, {"y": TensorSpec("float32", (None,))})


class Doubling:
    """A runtime in numpy: y = 2x."""

    def __init__(self, folder: Path, signature: str, *, threads: int, calls: Calls) -> None:
        assert calls == PLAIN
        assert (folder / "model.json").read_bytes() == MODEL_JSON
        self.inputs: Mapping[str, TensorSpec] = SIGNATURE.inputs
        self.outputs: Mapping[str, TensorSpec] = SIGNATURE.outputs

    def predict(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"y": tensors["x"] * 2}


class Context:
    """Lambda's context object, with time enough."""

    def __init__(self, request_id: str) -> None:
        self.aws_request_id = request_id

    def get_remaining_time_in_millis(self) -> int:
        return 100_000


Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three buckets as folders, a published model in one, and the environment that the template gives."""
    mounts = {}
    for bucket in ("input", "models", "results"):
        (tmp_path / bucket).mkdir()
        mounts[bucket] = {"path": str(tmp_path / bucket), "writable": bucket == "results"}
    monkeypatch.setenv(settings.MOUNTS, json.dumps(mounts))
    monkeypatch.setenv(settings.MODEL_BUCKET, "models")
    monkeypatch.setenv(settings.RESULTS_BUCKET, "results")
    monkeypatch.setenv(settings.READABLE, "arn:aws:s3:::input/*,")
    monkeypatch.setenv(settings.RUNTIME, "tensorflow")
    monkeypatch.setenv(settings.RUNTIMES, "tensorflow,litert")
    monkeypatch.setenv(settings.PREDICT_BATCH_TIMEOUT_S, "120")
    monkeypatch.setenv(settings.PREDICT_BATCH_MEMORY_MB, "2048")
    monkeypatch.setenv(settings.FUNCTION_MEMORY_MB, "2048")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bundle = tmp_path / "models/models/doubling/1"
    bundle.mkdir(parents=True)
    (bundle / "model.json").write_bytes(MODEL_JSON)
    sha256 = hashlib.sha256(MODEL_JSON).hexdigest()
    digest = Digest(
        digest=digest_of({"model.json": sha256}),
        files={"model.json": BundleFile(sha256, len(MODEL_JSON))},
        runtimes=("tensorflow",),
        signature=SIGNATURE,
        prepared_by="a test",
    )
    (bundle / "digest.json").write_bytes(msgspec.json.encode(digest))
    lines = [json.dumps({"id": f"n{i}", "inputs": {"x": i}}) for i in range(5)]
    (tmp_path / "input/items.jsonl").write_text("\n".join([*lines[:4], "no JSON", lines[4]]))
    return tmp_path


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Handler]]:
    """A handler's function by its folder's name, from a module of its own, as a new execution environment has."""
    monkeypatch.setattr(
        "fanwise.model.runtime.import_runtime", lambda name: SimpleNamespace(load=Doubling, name=name)
    )
    modules: list[ModuleType] = []

    def load(folder: str) -> Handler:
        path = stack_root() / "lambdas" / folder / "handler.py"
        spec = importlib.util.spec_from_file_location(f"{folder}_handler", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
        found: Handler = module.lambda_handler
        return found

    yield load
    gc.unfreeze()  # PredictBatch freezes what its init made
    for module in modules:
        if hasattr(module, "_environment"):
            module._environment().pipeline._pool.shutdown()


def plan(handler: Callable[[str], Handler], **manifest: Any) -> dict[str, Any]:
    start = {"manifest": {"items": "s3://input/items.jsonl", "model": "doubling@1", **manifest}}
    event = {"execution": "arn:x", "started_at": "2026-11-24T10:00:00.000Z", "start": start}
    return handler("plan_job")(event, Context("plan"))


def entries(folders: Path, round_: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folders / "results" / round_["work_key"]).read_text().splitlines()]


def metric(capsys: pytest.CaptureFixture[str], *names: str) -> list[float]:
    """What the handlers told of these metrics so far, added up."""
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [sum(sum(line.get(name, [])) for line in told if "_aws" in line) for name in names]


def test_a_job_through_the_four_handlers(
    folders: Path, handler: Callable[[str], Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    round_ = plan(handler, batch_size=2)
    home = folders / "results/jobs" / round_["job_id"]
    predict = handler("predict_batch")
    first, second, third = entries(folders, round_)
    for number, entry in enumerate((first, second)):
        answer = predict({"job_id": round_["job_id"], "entry": entry}, Context(f"request-{number}"))
        commit = json.loads((home / f"commits/{entry['entry']}.json").read_bytes())
        assert answer == {
            "entry": entry["entry"],
            "predicted": 2,
            "dead_lettered": 0,
            "rest": 0,
            "commit": commit,
        }
    cold, warm = (json.loads((home / f"commits/00000{n}.json").read_bytes())["invocation"] for n in (0, 1))
    assert (cold["request_id"], cold["cold"], warm["cold"]) == ("request-0", True, False)
    assert cold["init_ms"] > 0
    assert cold["load_ms"] > warm["load_ms"]
    assert cold["gets"] > warm["gets"]  # the plan and the bundle

    died = {"Error": "Sandbox.Timedout", "Cause": '{"errorMessage": "RequestId: a-b Error: Task timed out"}'}
    event = {"job_id": round_["job_id"], "entry": third, "failure": died}
    assert handler("handle_failure")(event, Context("request-2"))["rest"] == 2
    commit = json.loads((home / "commits/000002.json").read_bytes())
    assert (commit["died"], commit["invocation"]["duration_ms"]) == ("Sandbox.Timedout", 120_000)

    aggregate = handler("aggregate_results")
    round_ = aggregate(round_, Context("request-3"))
    assert (round_["round"], round_["entries"]) == (1, 2)
    for number, entry in enumerate(entries(folders, round_)):
        predict({"job_id": round_["job_id"], "entry": entry}, Context(f"request-{4 + number}"))
    summary = aggregate(round_, Context("request-6"))["summary"]
    assert (summary["status"], summary["items"]["predicted"]) == ("PARTIALLY_FAILED", 5)
    assert summary["failures"] == {"NotJson": 1}
    # 120 s of a death at 2 GB, and what the others took
    assert 240 < summary["billed_gb_s"] < 300
    told = metric(capsys, "EntriesCommitted", "ItemsPredicted", "ItemsDeadLettered", "ColdStart")
    assert told == [5, 5, 1, 4]
    assert json.loads((home / "summary.json").read_bytes()) == summary
    lines = b"".join(
        (home / json.loads(part)["key"]).read_bytes()
        for part in (home / "parts.jsonl").read_text().splitlines()
    )
    rows = [json.loads(line) for line in lines.splitlines()]
    assert {row["id"]: row["prediction"] for row in rows if "prediction" in row} == {
        f"n{i}": {"y": 2.0 * i} for i in range(5)
    }


def test_load_only_and_a_probe_count_as_invocations(folders: Path, handler: Callable[[str], Handler]) -> None:
    round_ = plan(handler)
    (entry,) = entries(folders, round_)
    predict = handler("predict_batch")
    loaded = predict({"job_id": round_["job_id"], "load_only": True}, Context("a"))
    assert loaded["loaded"].startswith("sha256:")
    assert predict({"job_id": round_["job_id"], "probe": entry}, Context("b")) == {"probed": 6, "failed": 1}
    predict({"job_id": round_["job_id"], "entry": entry}, Context("c"))
    commit = (folders / "results/jobs" / round_["job_id"] / "commits/000000.json").read_bytes()
    assert json.loads(commit)["invocation"]["cold"] is False


@pytest.mark.parametrize(
    ("folder", "missing"),
    [
        ("plan_job", settings.MODEL_BUCKET),
        ("plan_job", settings.RESULTS_BUCKET),
        ("plan_job", settings.READABLE),
        ("plan_job", settings.RUNTIMES),
        ("handle_failure", settings.PREDICT_BATCH_TIMEOUT_S),
        ("aggregate_results", settings.PREDICT_BATCH_MEMORY_MB),
    ],
)
def test_a_setting_that_is_missing_is_named(
    folders: Path,
    handler: Callable[[str], Handler],
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    missing: str,
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(InputError, match=f"environment variable {missing} is not set"):
        handler(folder)({}, Context("x"))


def test_an_environment_keeps_its_storage_between_invocations(
    folders: Path, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read once: a change of the mounts after the first invocation is not seen."""
    plan_job = handler("plan_job")
    start = {"manifest": {"items": "s3://input/items.jsonl", "model": "doubling@1"}}
    event = {"execution": "arn:x", "started_at": "2026-11-24T10:00:00.000Z", "start": start}
    first = plan_job(event, Context("a"))
    monkeypatch.setenv(settings.MOUNTS, "{}")
    second = plan_job(event, Context("b"))
    assert first.pop("others_gb_s") > 0 < second.pop("others_gb_s")
    assert second == first
