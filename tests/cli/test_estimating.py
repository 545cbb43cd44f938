"""`fanwise estimate` on this machine: exact counts, the planner's batches; what is missing is said in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud_in_process import item, write_bundle, write_items
from commands import Ended
from fanwise.model.bundle import BundleFile, Digest, digest_of, sha256_of
from fanwise.model.profile import Profile
from fanwise.model.signature import Signature, TensorSpec
from profiles import ON_LAMBDA, runtime_profile

Fanwise = Callable[..., Ended]


@pytest.fixture
def profiled(tmp_path: Path) -> Path:
    """A bundle of its own of the arithmetic model, with a profile: 10 ms an item, a start of 2 s."""
    bundle = write_bundle(tmp_path / "arithmetic", "weights that were measured")
    profile = Profile(runtimes={"tensorflow": runtime_profile()})
    (bundle / "profile.json").write_bytes(msgspec.json.encode(profile))
    return bundle


@pytest.fixture
def items(tmp_path: Path) -> Path:
    return write_items(tmp_path / "data/items.jsonl", [item(x) for x in range(1000)])


def reckoned(fanwise: Fanwise, *words: str | Path) -> dict[str, Any]:
    ended = fanwise("estimate", *words, "--json", "--quiet")
    assert (ended.code, ended.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_job_is_reckoned_before_it_runs(fanwise: Fanwise, items: Path, profiled: Path) -> None:
    found = reckoned(fanwise, items, "--model", profiled)
    assert (found["items"], found["batch_size"], found["batches"], found["environments"]) == (1000, 210, 5, 5)
    assert (found["runtime"], found["memory_mb"], found["max_concurrency"]) == ("tensorflow", 1769, 1000)
    duration = found["duration_s"]
    assert duration["compute"] == pytest.approx(2.2)
    assert duration["total"] == pytest.approx(sum(duration.values()) - duration["total"], abs=0.01)
    assert found["cost_usd"]["total"] == pytest.approx(sum(found["cost_usd"]["parts"].values()), abs=1e-5)
    assert found["model"]["name"] == "arithmetic"
    assert found["best"]["memory_mb"] in [choice["memory_mb"] for choice in found["choices"]]
    assert found["stands_in"] is True


def test_the_job_that_runs_has_the_batches_that_were_reckoned(
    fanwise: Fanwise, items: Path, profiled: Path, tmp_path: Path
) -> None:
    before = reckoned(fanwise, items, "--model", profiled)
    out = tmp_path / "out"
    assert fanwise("run", items, "--model", profiled, "--out", out, "--quiet").code == 0
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["entries"]["planned"] == before["batches"]


def test_images_that_s3_does_not_give_fast_enough(fanwise: Fanwise, profiled: Path) -> None:
    contract = profiled / "model.json"
    contract.write_text('{"inputs": {"x": {"kind": "image", "height": 8, "width": 8, "channels": 1}}}')
    digest = msgspec.json.decode((profiled / "digest.json").read_bytes(), type=Digest)
    files = {**digest.files, contract.name: BundleFile(sha256_of(contract), contract.stat().st_size)}
    digest = msgspec.structs.replace(
        digest,
        digest=digest_of({name: file.sha256 for name, file in files.items()}),
        files=files,
        signature=Signature({"x": TensorSpec("float32", (None, 8, 8, 1))}, digest.signature.outputs),
    )
    (profiled / "digest.json").write_bytes(msgspec.json.encode(digest))
    profile = Profile(runtimes={"tensorflow": runtime_profile(measured_on=ON_LAMBDA, peak_memory_mb=100)})
    (profiled / "profile.json").write_bytes(msgspec.json.encode(profile))
    ended = fanwise("estimate", "1,000,000", "--model", profiled, "--quiet", "--max-concurrency", "2000")
    assert (ended.code, ended.stderr) == (0, "")
    told = " ".join(ended.stdout.split())
    for words in (
        "waiting for S3 1 min",
        "size at once time price",
        "at once: S3 gives 5,500 objects a second of one prefix",
        "point at is taken to lie",
        "and its timeout is 2 min 0 s",
    ):
        assert words in told, words


def test_the_table_has_every_part_and_says_what_it_rests_on(
    fanwise: Fanwise, items: Path, profiled: Path
) -> None:
    ended = fanwise("estimate", items, "--model", profiled)
    assert ended.code == 0
    told = " ".join(ended.stdout.split())
    for words in (
        "1,000 items by arithmetic@",
        "5 of 210 items (as much work as a cold start takes)",
        "5, by 5 environments of 1,769 MB, 1,000 at most",
        "cold starts 2.0 s",
        "Lambda GB-s $0.000",
        "state transitions $0.000",
        "S3 writes and lists",
        "such executions by Lambda alone (20,000 of up to 160 items)",
        "the cheapest",
        "List prices of us-east-1 x86_64 2026-08: our reckoning, not AWS's bill.",
        "Measured on Test CPU, 2 cores, not on Lambda: this machine stands in for it, a core for a vCPU",
    ):
        assert words in told, (words, told)


def test_options_stand_over_the_manifest(fanwise: Fanwise, items: Path, profiled: Path) -> None:
    manifest = items.parent / "job.json"
    manifest.write_text(json.dumps({"items": "items.jsonl", "model": "none@1", "batch_size": 100}))
    found = reckoned(fanwise, manifest, "--model", profiled, "--max-concurrency", "3", "--memory", "3538")
    assert (found["batches"], found["environments"], found["memory_mb"]) == (10, 3, 3538)
    assert reckoned(fanwise, manifest, "--model", profiled, "--batch-size", "500")["batches"] == 2


def test_a_profile_that_is_given_stands_over_the_one_that_was_kept(
    fanwise: Fanwise, items: Path, profiled: Path
) -> None:
    first = reckoned(fanwise, items, "--model", profiled, "--batch-size", "100")
    slower = Profile(runtimes={"tensorflow": runtime_profile(compute_ms={1: 100.0})})
    (profiled / "profile.json").write_bytes(msgspec.json.encode(slower))
    second = reckoned(fanwise, items, "--model", profiled, "--batch-size", "100")
    assert (first["duration_s"]["compute"], second["duration_s"]["compute"]) == pytest.approx((1.1, 10.1))


def test_a_csv_and_a_folder_are_counted_too(fanwise: Fanwise, profiled: Path, tmp_path: Path) -> None:
    table = tmp_path / "t/rows.csv"
    table.parent.mkdir()
    table.write_text('order,x\n"quoted\nline",1\n,2\n\n,3\n')
    assert reckoned(fanwise, table, "--model", profiled)["items"] == 3
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(7):
        (folder / f"{n}.bin").write_bytes(b"x")
    assert reckoned(fanwise, folder, "--model", profiled)["items"] == 7


def test_no_items_are_an_estimate_of_the_way_alone(fanwise: Fanwise, profiled: Path, tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_text("\n\n")
    found = reckoned(fanwise, empty, "--model", profiled)
    assert (found["items"], found["batches"], found["duration_s"]["compute"]) == (0, 0, 0)
    assert fanwise("estimate", empty, "--model", profiled).code == 0


def test_arm_and_other_regions_are_named(fanwise: Fanwise, items: Path, profiled: Path) -> None:
    x86 = reckoned(fanwise, items, "--model", profiled)
    arm = reckoned(fanwise, items, "--model", profiled, "--arch", "arm64", "--region", "eu-south-2")
    assert arm["cost_usd"]["prices"] == "us-east-1 arm64 2026-08 (for eu-south-2, which has no prices here)"
    assert arm["cost_usd"]["lambda"] < x86["cost_usd"]["lambda"]
    told = fanwise("estimate", items, "--model", profiled, "--arch", "arm64").stdout
    assert "Durations are those of Linux x86_64; on arm64 they may be others." in " ".join(told.split())


def test_a_memory_size_without_room_is_said(fanwise: Fanwise, items: Path, profiled: Path) -> None:
    large = Profile(runtimes={"tensorflow": runtime_profile(peak_memory_mb=1500)})
    (profiled / "profile.json").write_bytes(msgspec.json.encode(large))
    said = "The model needed 1,500 MB when it was measured: 1,769 MB may be too few."
    assert said in " ".join(fanwise("estimate", items, "--model", profiled).stdout.split())
    found = reckoned(fanwise, items, "--model", profiled)
    assert [choice["memory_mb"] for choice in found["choices"]][:2] == [1769, 2048]  # as it is; with room


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arch", "sparc"], "--arch is 'sparc'; there are x86_64 and arm64"),
        (["--batch-size", "0"], "--batch-size"),
        (["--memory", "512"], "--memory"),
        (["--runtime", "litert"], "is not made for runtime 'litert'"),
    ],
)
def test_wrong_words_are_one_line(
    fanwise: Fanwise, items: Path, profiled: Path, words: list[str], message: str
) -> None:
    ended = fanwise("estimate", items, "--model", profiled, *words)
    assert (ended.code, ended.stdout) == (2, "")
    assert message in ended.stderr.splitlines()[-1]


def test_a_model_without_a_profile_says_how_to_get_one(fanwise: Fanwise, items: Path, tmp_path: Path) -> None:
    never_measured = write_bundle(tmp_path / "other", "other weights")
    ended = fanwise("estimate", items, "--model", never_measured)
    assert (ended.code, ended.stdout) == (2, "")
    assert "has no profile of tensorflow" in ended.stderr
    assert "fanwise push MODEL" in ended.stderr
