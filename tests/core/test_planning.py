"""PlanJob: one start is one job with one plan, whoever delivers it and wherever it died before."""

import hashlib
import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from fanwise import limits
from fanwise import settings as function_settings
from fanwise.commits import decide, read_job, read_work
from fanwise.errors import BundleError, InputError, ItemsFileError, LocationError, ManifestError
from fanwise.items.lines import split_records
from fanwise.model.bundle import digest_of
from fanwise.model.profile import Profile
from fanwise.planning import plan_job
from fanwise.planning.job_limits import NO_LIMITS, JobLimits
from fanwise.reckoning.estimate import Estimate
from fanwise.records import Commit, Entry, Invocation, Job, Round, job_prefix
from fanwise.storage import Backend, Body, FolderBackend, ObjectInfo, ObstoreBackend, Storage
from fanwise_local.template import read_stack, stack_root
from profiles import runtime_profile

ARN = "arn:aws:states:us-east-1:123456789012:execution:fanwise-batch-inference:"
MANIFEST = {"items": "s3://in/a/items.jsonl", "model": "tabular@1"}
READABLE = ("s3://in/",)


class Killed(Exception):
    """The process died here."""


class Mortal:
    """A bucket whose writer dies with its `dies_at`-th write, from 0: before it, or after it took effect."""

    def __init__(self, bucket: Backend) -> None:
        self._bucket = bucket
        self.writes = 0
        self.dies_at: int | None = None
        self.dies_after = False

    def _write(self, key: str, body: bytes, write: Any) -> Any:
        dies = self.writes == self.dies_at
        self.writes += 1
        if dies and not self.dies_after:
            raise Killed
        answer = write(key, body)
        if dies:
            raise Killed
        return answer

    def write(self, key: str, body: bytes) -> None:
        self._write(key, body, self._bucket.write)

    def create(self, key: str, body: bytes) -> bool:
        created: bool = self._write(key, body, self._bucket.create)
        return created

    def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
        return self._bucket.head(key, version_id)

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        return self._bucket.read(key, start, end, pin)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._bucket.list(prefix)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)


class World:
    """Buckets with a model, and PlanJob over them."""

    def __init__(self, bucket_of: Mapping[str, Backend] | None = None) -> None:
        buckets = bucket_of or {name: ObstoreBackend(MemoryStore()) for name in ("in", "models", "results")}
        self.results = Mortal(buckets["results"])
        self.storage = Storage({**buckets, "results": self.results}, s3=False)
        publish(self.storage)

    def items(self, lines: int) -> None:
        self.storage.write(
            "s3://in/a/items.jsonl", b"".join(b'{"inputs":{"age":%d}}\n' % n for n in range(lines))
        )

    def plan(
        self,
        manifest: Any = MANIFEST,
        execution: str = "one",
        job_limits: JobLimits = NO_LIMITS,
        **start: Any,
    ) -> dict[str, Any]:
        event = {
            "execution": ARN + execution,
            "started_at": "2026-08-01T00:00:00.000Z",
            "start": {"manifest": manifest, **start},
        }
        answer = plan_job(
            event,
            self.storage,
            model_bucket="models",
            results_bucket="results",
            readable=READABLE,
            job_limits=job_limits,
        )
        json.dumps(answer)
        return answer

    def home(self, answer: Mapping[str, Any]) -> str:
        return f"s3://results/{job_prefix(answer['job_id'])}"

    def files(self) -> dict[str, bytes]:
        return {
            info.key: self.storage.read(f"s3://results/{info.key}")
            for info in self.storage.list("s3://results/")
        }


def publish(storage: Storage, model: str = "tabular/1") -> None:
    contents = {"saved_model/saved_model.pb": model.encode()}
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}
    inputs = {name: {"dtype": "float32", "shape": [None, 1]} for name in ("age", "income")}
    digest = {
        "digest": digest_of(sums),
        "files": {name: {"sha256": sums[name], "size_bytes": len(body)} for name, body in contents.items()},
        "runtimes": ["tensorflow"],
        "signature": {"inputs": inputs, "outputs": {"y": {"dtype": "float32", "shape": [None, 1]}}},
        "prepared_by": "fanwise",
    }
    for name, body in {**contents, "digest.json": json.dumps(digest).encode()}.items():
        storage.write(f"s3://models/models/{model}/{name}", body)


@pytest.fixture
def world() -> World:
    return World()


def commit(world: World, home: str, entry: Entry, **values: Any) -> None:
    values = values or {"predicted": entry.count}
    invocation = Invocation(request_id="r", duration_ms=1)
    decide(
        world.storage, home, Commit(entry=entry.entry, attempt=entry.attempt, invocation=invocation, **values)
    )


def test_a_first_plan(world: World) -> None:
    world.items(1000)
    answer = world.plan({**MANIFEST, "max_concurrency": 7, "name": "Nightly run, 3"})
    job_id = answer["job_id"]
    assert job_id.startswith("nightly-run-3-")
    assert answer == {
        "job_id": job_id,
        "duplicate": False,
        "round": 0,
        "entries": 4,
        "work_key": f"jobs/{job_id}/work/0.jsonl",
        "max_concurrency": 7,
        "runtime": "tensorflow",
        "wait_s": 0,
        "decided": 0,
        "stalled": 0,
        "started_at": "2026-08-01T00:00:00.000Z",
        "execution": ARN + "one",
    }
    home = world.home(answer)
    assert sorted(world.files()) == [
        "executions/one.json",
        *(f"jobs/{job_id}/{name}" for name in ("claim.json", "job.json", "work/0.jsonl")),
    ]
    assert json.loads(world.files()["executions/one.json"]) == {"job_id": job_id}
    job = read_job(world.storage, home)
    assert (job.total, job.entries, job.batch_size, job.items.base) == (1000, 4, 256, "s3://in/a/")
    assert job.model.kinds == {"age": "number", "income": "number"}
    assert [entry.count for entry in read_work(world.storage, home, 0)] == [256, 256, 256, 232]
    assert job.items.etag == world.storage.head("s3://in/a/items.jsonl").etag
    assert job.model.digest.startswith("sha256:")


def test_a_larger_job_has_a_probe_of_its_first_items(world: World) -> None:
    world.items(200)
    assert "probe" not in world.plan({**MANIFEST, "batch_size": 10})
    world.items(201)
    answer = world.plan({**MANIFEST, "batch_size": 10})
    probe = msgspec.convert(answer["probe"], Entry)
    data = world.storage.read("s3://in/a/items.jsonl", probe.start, probe.end)
    records = list(split_records(data, "jsonl", start=probe.start, first_line=probe.first_line))
    assert (probe.entry, probe.first, probe.count, len(records)) == ("probe", 0, limits.PROBE_ITEMS, 8)
    assert records[-1].text == b'{"inputs":{"age":7}}'


def test_no_items_is_a_job_of_no_entries(world: World) -> None:
    world.items(0)
    answer = world.plan()
    assert (answer["entries"], read_job(world.storage, world.home(answer)).total) == (0, 0)
    assert world.storage.read(world.home(answer) + "work/0.jsonl") == b""


def test_the_id_says_what_would_come_out() -> None:
    def id_of(world: World, manifest: Any = MANIFEST, **start: Any) -> str:
        job_id: str = world.plan(manifest, **start)["job_id"]
        return job_id

    world = World()
    world.items(3)
    publish(world.storage, "tabular/2")
    same = {
        id_of(world),
        id_of(world, {**MANIFEST, "batch_size": 2}, execution="two"),
        id_of(world, {**MANIFEST, "max_concurrency": 3, "runtime": "tensorflow"}, execution="three"),
        id_of(world, {**MANIFEST, "tolerated_failure_percentage": 100.0, "name": None}),
        id_of(world, resume=True),
        id_of(world, scheduled_time=None, run=None),
    }
    assert len(same) == 1
    others = [
        id_of(world, {**MANIFEST, "model": "tabular@2"}),
        id_of(world, {**MANIFEST, "tolerated_failure_percentage": 1}),
        id_of(world, {**MANIFEST, "name": "again"}),
        id_of(world, scheduled_time="2026-08-01T02:00:00Z"),
        id_of(world, run="2026-08-01T02:00:00Z"),
    ]
    world.items(4)
    others.append(id_of(world))
    assert len(same | set(others)) == 7


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Ünï côdé", "n-c-d"), ("日本", "job"), ("x" * 60, "x" * 40), ("--a/../b--", "a-b")],
)
def test_the_readable_part_of_an_id_is_safe_in_a_key(world: World, name: str, slug: str) -> None:
    world.items(1)
    job_id = world.plan({**MANIFEST, "name": name})["job_id"]
    assert job_id[:-17] == slug
    assert job_id[-17] == "-"


def test_a_second_delivery_is_a_duplicate_and_leaves_the_job_alone(world: World) -> None:
    world.items(3)
    first = world.plan()
    before = world.files()
    assert world.plan(execution="two") == {"duplicate": True, "job_id": first["job_id"]}
    after = world.files()
    assert after.pop("executions/two.json") == before["executions/one.json"]
    assert after == before


def test_a_plan_that_is_whole_is_not_written_again(world: World) -> None:
    world.items(3)
    first, before, writes = world.plan(), world.files(), world.results.writes
    assert world.plan() == first
    assert (world.files(), world.results.writes) == (before, writes + 2)  # the claim alone, and whose it is


KINDS_OF_ITEMS = {
    "lines": "s3://in/a/items.jsonl",
    "rows": "s3://in/a/rows.csv",
    "folder": "s3://in/scans/",
}


def filled(world: World) -> World:
    world.items(300)
    world.storage.write("s3://in/a/rows.csv", b"\xef\xbb\xbfid,age\r\n" + b'"r\n1",3\r\n' * 300)
    for n in range(300):
        world.storage.write(f"s3://in/scans/{n}.png", b"")
    return world


@pytest.mark.parametrize("kind", KINDS_OF_ITEMS)
@pytest.mark.parametrize("dies_after", [False, True])
def test_wherever_it_dies_another_attempt_plans_the_same(kind: str, dies_after: bool) -> None:
    manifest = {**MANIFEST, "items": KINDS_OF_ITEMS[kind], "batch_size": 9}
    whole = filled(World())
    answer = whole.plan(manifest)
    assert whole.results.writes == (5 if kind == "folder" else 4)
    for step in range(whole.results.writes):
        world = filled(World())
        world.results.dies_at, world.results.dies_after = step, dies_after
        with pytest.raises(Killed):
            world.plan(manifest)
        claimed = step > 1 or (step == 1 and dies_after)  # before that it is only written down who wants it
        if claimed:
            assert world.plan(manifest, execution="two")["duplicate"] is True
        again = world.plan(manifest)
        assert plain(again, world) == plain(answer, whole)
        assert world.plan(manifest) == again


def plain(answer: dict[str, Any], world: World) -> tuple[object, ...]:
    """A plan without what differs between two worlds: the stores' own versions, and the id that holds them."""
    job_id = answer["job_id"]
    files = {key.replace(job_id, "ID"): body for key, body in world.files().items()}
    job = msgspec.to_builtins(read_job(world.storage, world.home(answer)))
    for changing in ("etag", "version_id"):
        del job["items"][changing]
    del files["jobs/ID/claim.json"], files["jobs/ID/job.json"]
    files.pop("executions/two.json", None)  # a second delivery's
    return tuple(json.dumps(value, default=repr).replace(job_id, "ID") for value in (answer, files, job))


def test_rows_are_planned_after_their_header() -> None:
    world = filled(World())
    answer = world.plan({**MANIFEST, "items": KINDS_OF_ITEMS["rows"]})
    job = read_job(world.storage, world.home(answer))
    first, second = read_work(world.storage, world.home(answer), 0)
    assert (job.items.columns, job.total) == (("id", "age"), 300)
    assert (first.start, first.first_line, second.first_line) == (11, 2, 2 + 2 * 256)


def test_a_folder_is_written_down_in_the_jobs_home() -> None:
    world = filled(World())
    answer = world.plan({**MANIFEST, "items": KINDS_OF_ITEMS["folder"]})
    job = read_job(world.storage, world.home(answer))
    assert (job.items_uri, job.items.uri, job.total) == (
        "s3://in/scans/",
        world.home(answer) + "items.jsonl",
        300,
    )
    assert answer["job_id"].startswith("scans-")
    first = world.storage.read(job.items.uri, 0, None, job.items.pin()).partition(b"\n")[0]
    assert json.loads(first) == {"id": "0.png", "uri": "s3://in/scans/0.png"}


def test_a_resume_of_a_job_that_was_never_planned_plans_it(world: World) -> None:
    world.items(3)
    world.results.dies_at = 1
    with pytest.raises(Killed):
        world.plan()
    answer = world.plan(execution="two", resume=True)
    assert (answer["round"], answer["entries"], answer["execution"]) == (0, 1, ARN + "two")
    assert world.plan(execution="one")["duplicate"] is True


def test_a_resume_runs_what_has_no_commit(world: World) -> None:
    world.items(50)
    first = world.plan({**MANIFEST, "batch_size": 10})
    home = world.home(first)
    entries = read_work(world.storage, home, 0)
    commit(world, home, entries[0])
    rest = Entry(entry="000001.0", start=1, end=2, first=13, first_line=14, count=7, attempt=2)
    commit(world, home, entries[1], predicted=3, rest=(rest,))
    answer = world.plan({**MANIFEST, "max_concurrency": 5}, execution="two", resume=True)
    decided = 13
    assert msgspec.convert(answer, Round) == Round(
        job_id=first["job_id"],
        duplicate=False,
        round=1,
        entries=4,
        work_key=f"jobs/{first['job_id']}/work/1.jsonl",
        runtime="tensorflow",
        max_concurrency=5,
        wait_s=0,
        decided=decided,
        stalled=0,
        started_at=first["started_at"],
        execution=ARN + "two",
        decided_before=decided,
        first_round=1,
    )
    tried_again = [msgspec.structs.replace(entry, attempt=2) for entry in entries[2:]]
    assert sorted(read_work(world.storage, home, 1), key=lambda e: e.entry) == [rest, *tried_again]
    assert read_work(world.storage, home, 0) == entries
    again = world.plan(execution="three", resume=True)
    assert (again["round"], again["entries"]) == (2, 4)
    assert {entry.attempt for entry in read_work(world.storage, home, 2)} == {3}


def test_a_resume_of_a_job_that_is_done_has_nothing_left(world: World) -> None:
    world.items(5)
    home = world.home(world.plan())
    commit(world, home, read_work(world.storage, home, 0)[0])
    answer = world.plan(execution="two", resume=True)
    assert (answer["entries"], answer["round"], answer["decided_before"]) == (0, 1, 5)


@given(st.integers(0, 60), st.integers(1, 20), st.data())
@settings(max_examples=30, deadline=None)
def test_a_resume_and_the_commits_make_up_the_plan(lines: int, batch_size: int, draws: st.DataObject) -> None:
    world = World()
    world.items(lines)
    home = world.home(world.plan({**MANIFEST, "batch_size": batch_size}))
    entries = read_work(world.storage, home, 0)
    done = draws.draw(st.sets(st.sampled_from(entries))) if entries else set()
    for entry in done:
        commit(world, home, entry)
    answer = world.plan(execution="two", resume=True)
    left = read_work(world.storage, home, 1)
    assert {entry.entry for entry in left} == {entry.entry for entry in entries} - {
        entry.entry for entry in done
    }
    assert answer["decided"] + sum(entry.count for entry in left) == lines


def test_a_manifest_by_uri_and_its_items_beside_it(world: World) -> None:
    world.items(3)
    world.storage.write("s3://in/a/job.json", b'{"items": "items.jsonl", "model": "tabular@1"}')
    assert world.plan("s3://in/a/job.json")["job_id"] == world.plan()["job_id"]


@pytest.mark.parametrize(
    ("manifest", "start", "error", "message"),
    [
        (
            "s3://in/none.json",
            {},
            ManifestError,
            "s3://in/none.json: there is no such manifest; check the URI",
        ),
        (
            "s3://elsewhere/job.json",
            {},
            LocationError,
            r"s3://elsewhere/job.json is outside of .* \(s3://in/\)",
        ),
        ("s3://models/job.json", {}, LocationError, "copy it there, or allow its prefix: FurtherItems"),
        ("file:///job.json", {}, ManifestError, '"manifest": .* is neither s3:// nor relative'),
        ("s3://in/a/../job.json", {}, ManifestError, "an empty, '.' or '..' part"),
        ({**MANIFEST, "items": "s3://models/x.csv"}, {}, LocationError, "s3://models/x.csv is outside of"),
        ({**MANIFEST, "items": "s3://results/jobs/"}, {}, LocationError, "s3://results/jobs/ is outside of"),
        ({**MANIFEST, "items": "http://in/x.csv"}, {}, ManifestError, "a manifest given inline"),
        (None, {}, ManifestError, 'the execution\'s input: "manifest" is the URI of a manifest'),
        (
            MANIFEST,
            {"scheduled": "x"},
            ManifestError,
            'unknown key "scheduled"; did you mean "scheduled_time"',
        ),
        (MANIFEST, {"resume": "yes"}, ManifestError, "\"resume\" is 'yes'; true or false"),
        (MANIFEST, {"run": 3}, ManifestError, '"run" is 3; text'),
        ({**MANIFEST, "max_concurrency": 20000}, {}, ManifestError, "at most 10000"),
        ({**MANIFEST, "items": "s3://in/none.jsonl"}, {}, ItemsFileError, "there is no such items file"),
        (
            {**MANIFEST, "items": "s3://in/x.csv.gz"},
            {},
            ItemsFileError,
            r"is compressed, .* first: gunzip x.csv.gz",
        ),
        (
            {**MANIFEST, "items": "s3://in/x.parquet"},
            {},
            ItemsFileError,
            r"read from .jsonl, .ndjson, .csv files",
        ),
        (
            {**MANIFEST, "items": "s3://in/scans"},
            {},
            ItemsFileError,
            "whose URI ends with /; this ends with 'scans'",
        ),
        ({**MANIFEST, "items": "s3://in/empty.csv"}, {}, ItemsFileError, "empty.csv has no header line"),
        ({**MANIFEST, "items": "s3://in/twice.csv"}, {}, ItemsFileError, "columns 1, 2 are all named 'age'"),
        ({**MANIFEST, "items": "s3://in/none/ok.csv"}, {}, ItemsFileError, "there is no such items file"),
        ({**MANIFEST, "model": "tabular"}, {}, BundleError, "has no version"),
        ({**MANIFEST, "model": "other@1"}, {}, BundleError, "is not published"),
        ({**MANIFEST, "runtime": "litert"}, {}, BundleError, "is not made for runtime 'litert'"),
    ],
)
def test_what_stops_a_start_before_anything_is_written(
    world: World, manifest: Any, start: dict[str, Any], error: type[InputError], message: str
) -> None:
    world.items(3)
    world.storage.write("s3://in/empty.csv", b"")
    world.storage.write("s3://in/twice.csv", b"age,age\n")
    with pytest.raises(error, match=message):
        world.plan(manifest, **start)
    assert world.files() == {}


def test_an_input_that_is_no_object(world: World) -> None:
    event = {
        "execution": ARN + "one",
        "started_at": "2026-08-01T00:00:00.000Z",
        "start": ["s3://in/job.json"],
    }
    with pytest.raises(ManifestError, match="the execution's input is no JSON object; start with"):
        plan_job(event, world.storage, model_bucket="models", results_bucket="results", readable=READABLE)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    class Locked(FolderBackend):
        def head(self, key: str, version_id: str | None = None) -> ObjectInfo:
            raise PermissionError("access denied")

        def pin(self, key: str) -> ObjectInfo:
            raise PermissionError("access denied")

        def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
            raise PermissionError("access denied")

        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            raise PermissionError("access denied")

    buckets: dict[str, Backend] = {name: ObstoreBackend(MemoryStore()) for name in ("models", "results")}
    world = World({**buckets, "in": Locked(tmp_path, writable=False)})
    with pytest.raises(
        ItemsFileError, match=r"s3://in/a/items.jsonl: access denied; the items file may not be read"
    ):
        world.plan()
    with pytest.raises(ItemsFileError, match=r"s3://in/scans/: access denied; the folder may not be listed"):
        world.plan({**MANIFEST, "items": "s3://in/scans/"})
    with pytest.raises(ManifestError, match=r"s3://in/job.json: access denied; the manifest may not be read"):
        world.plan("s3://in/job.json")


def test_folders_that_stand_for_buckets(tmp_path: Path) -> None:
    buckets = {name: FolderBackend(tmp_path / name, writable=True) for name in ("in", "models", "results")}
    world = filled(World(buckets))
    for items in KINDS_OF_ITEMS.values():
        answer = world.plan({**MANIFEST, "items": items})
        entries = read_work(world.storage, world.home(answer), 0)
        assert [entry.count for entry in entries] == [256, 44]
        assert world.plan({**MANIFEST, "items": items}) == answer


def test_the_handler_plans_over_the_buckets_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = {name: FolderBackend(tmp_path / name, writable=True) for name in ("in", "models", "results")}
    world = World(buckets)
    world.items(3)
    mounts = {name: {"path": str(tmp_path / name), "writable": name == "results"} for name in buckets}
    monkeypatch.setenv("FANWISE_MOUNTS", json.dumps(mounts))
    monkeypatch.setenv("FANWISE_MODEL_BUCKET", "models")
    monkeypatch.setenv("FANWISE_RESULTS_BUCKET", "results")
    monkeypatch.setenv("FANWISE_READABLE", "arn:aws:s3:::in/*,")
    monkeypatch.setenv("FANWISE_RUNTIMES", "tensorflow,litert")
    monkeypatch.setenv("FANWISE_PREDICT_BATCH_MEMORY_MB", "1769")
    monkeypatch.setenv("FANWISE_PREDICT_BATCH_TIMEOUT_S", "120")
    handler = Path(__file__).parents[2] / "lambdas" / "plan_job" / "handler.py"
    lambda_handler = runpy.run_path(str(handler))["lambda_handler"]
    event = {
        "execution": ARN + "one",
        "started_at": "2026-08-01T00:00:00.000Z",
        "start": {"manifest": MANIFEST},
    }
    answer = lambda_handler(event, SimpleNamespace(aws_request_id="a"))
    assert answer.pop("others") == 1
    assert answer.pop("others_gb_s") > 0  # what this invocation took
    assert answer == world.plan()


def put_profile(world: World, **figures: Any) -> None:
    measured = Profile(runtimes={"tensorflow": runtime_profile(**figures)})
    world.storage.write("s3://models/models/tabular/1/profile.json", msgspec.json.encode(measured))


def job_of(world: World, answer: Mapping[str, Any]) -> Job:
    return msgspec.json.decode(world.storage.read(world.home(answer) + "job.json"), type=Job)


def test_batches_are_as_large_as_the_profile_has_them(world: World) -> None:
    """10 ms an item: an environment's start of 2.1 s is worth 210, and there are too few items for more."""
    world.items(1000)
    put_profile(world)
    job = job_of(world, world.plan())
    assert (job.batch_size, job.entries, job.total) == (210, 5, 1000)


def test_a_word_of_the_manifest_stands_over_the_profile(world: World) -> None:
    world.items(100)
    put_profile(world)
    job = job_of(world, world.plan({**MANIFEST, "batch_size": 7}))
    assert job.batch_size == 7
    assert job.estimate is not None


@pytest.mark.parametrize("text", [None, b"", b"{}", b'{"runtimes": {}}', b"not json"])
def test_without_a_profile_that_can_be_read_batches_are_256_and_nothing_is_estimated(
    world: World, text: bytes | None
) -> None:
    world.items(300)
    if text is not None:
        world.storage.write("s3://models/models/tabular/1/profile.json", text)
    job = job_of(world, world.plan())
    assert (job.batch_size, job.entries, job.estimate) == (256, 2, None)


def test_the_plan_keeps_what_the_job_was_reckoned_to_take(world: World) -> None:
    world.items(1000)
    put_profile(world)
    kept = job_of(world, world.plan()).estimate
    assert kept is not None
    reckoned = msgspec.convert(kept, Estimate)
    assert (reckoned.items, reckoned.batch_size, reckoned.batches) == (1000, 200, 5)  # of 5 batches, 200 each
    assert reckoned.duration_s.compute == pytest.approx(2.1)  # 0.1 s, and 200 of 10 ms
    assert reckoned.cost_usd["prices"] == "us-east-1 x86_64 2026-08"


def test_a_try_after_another_cuts_the_same_batches(world: World) -> None:
    world.items(1000)
    put_profile(world)
    whole = world.plan()
    before = {key: body for key, body in world.files().items() if key.endswith(("job.json", "0.jsonl"))}
    world.storage.delete(world.home(whole) + "job.json")  # what a PlanJob that died before its end left
    assert world.plan() == whole
    after = world.files()
    assert {key: after[key] for key in before} == before


# How large a job may be.


def planned_files(world: World) -> list[str]:
    """What there is of a job beside its claim, and which execution has it."""
    return [
        key for key in world.files() if not key.endswith("/claim.json") and not key.startswith("executions/")
    ]


def test_a_job_of_more_items_than_the_stack_allows_is_refused_before_any_work() -> None:
    world = World()
    world.items(1000)
    with pytest.raises(ItemsFileError) as caught:
        world.plan(job_limits=JobLimits(items=999))
    assert str(caught.value) == (
        "s3://in/a/items.jsonl: has more than 999 items, the most that a job of this stack may have; cut it into"
        " several, or deploy the stack with another MaxItemsPerJob"
    )
    assert planned_files(world) == []
    assert world.plan(job_limits=JobLimits(items=1000))["entries"] > 0


def test_a_job_of_more_bytes_than_the_stack_allows_is_refused_unread() -> None:
    world = World()
    world.items(1000)
    size_bytes = world.storage.head("s3://in/a/items.jsonl").size_bytes
    with pytest.raises(ItemsFileError, match=f"has {size_bytes:,} bytes or more.* MaxBytesPerJob"):
        world.plan(job_limits=JobLimits(size_bytes=size_bytes - 1))
    assert world.files() == {}
    assert world.plan(job_limits=JobLimits(size_bytes=size_bytes))["entries"] > 0


@pytest.mark.parametrize(
    ("job_limits", "parameter"),
    [(JobLimits(items=2), "MaxItemsPerJob"), (JobLimits(size_bytes=29), "MaxBytesPerJob")],
)
def test_a_folder_is_held_to_the_same(job_limits: JobLimits, parameter: str) -> None:
    world = World()
    for number in range(3):
        world.storage.write(f"s3://in/scans/{number}.png", b"x" * 10)
    manifest = {"items": "s3://in/scans/", "model": "tabular@1"}
    with pytest.raises(ItemsFileError, match=rf"s3://in/scans/: has .* {parameter}"):
        world.plan(manifest, job_limits=job_limits)
    assert planned_files(world) == []
    assert world.plan(manifest, job_limits=JobLimits(items=3, size_bytes=30))["entries"] == 1


def test_what_is_planned_may_be_resumed_where_less_is_allowed_by_now() -> None:
    world = World()
    world.items(10)
    job_id = world.plan()["job_id"]
    for number, job_limits in enumerate((JobLimits(items=1), JobLimits(size_bytes=1))):
        again = world.plan(execution=f"again-{number}", job_limits=job_limits, resume=True)
        assert (again["job_id"], again["duplicate"]) == (job_id, False)


def test_the_stack_s_parameters_reach_the_handler_but_no_machine_of_one_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = {"MaxItemsPerJob": "7", "MaxBytesPerJob": "8"}
    environment = read_stack(stack_root(), parameters=parameters).functions["PlanJobFunction"].environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (function_settings.max_items_per_job(), function_settings.max_bytes_per_job()) == (7, 8)
    monkeypatch.setenv("FANWISE_MOUNTS", json.dumps({"in": {"path": "/in"}}))
    assert (function_settings.max_items_per_job(), function_settings.max_bytes_per_job()) == (0, 0)
