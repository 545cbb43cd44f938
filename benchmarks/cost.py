"""The part `cost`: what a million images cost at list price, by what their invocations take here.

Measured: the invocations of a function for one image (`one_by_one`) and of fanwise, on a core that stands in for a
vCPU. Reckoned from them: a million items, at Lambda's price, and with the Map's children and S3's requests beside
it; an environment starts cold once.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

import msgspec

from benchmarks.comparison import Comparison
from benchmarks.errors import BenchmarkError
from benchmarks.fanwise_run import ONEDNN, Job, fanwise_json, fanwise_run
from benchmarks.jpegs.part import IMAGES, TENSORFLOW_LOOP, tensorflow_loop
from benchmarks.jpegs.workload import first_items, prepare_workload
from benchmarks.part import Part, Run
from benchmarks.processes import run_module
from benchmarks.rates import steady_items_per_s
from benchmarks.tables import Bar, Chart, Table
from fanwise.limits import DEFAULT_BATCH_SIZE, DEFAULT_CONCURRENCY
from fanwise.pricing import STORAGE_MB, Usage, child_gb_s, gb_s, price, prices_of, storage_gb_s
from fanwise.records import Commit, Runtime
from fanwise_local.template import read_stack, stack_root

MILLION = 1_000_000
ONE_BY_ONE = 100  # items of a function for one image
QUICK_IMAGES = 64
RUNTIMES: dict[Runtime, str] = {"litert": "LiteRT", "tensorflow": "TensorFlow"}


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """sagemaker.json: an instance of Batch Transform, its price, and where that is from."""

    instance: str
    vcpus: int
    region: str
    usd_per_hour: float
    price_checked: str
    price_source: str
    start_up_minutes: float
    start_up_source: str


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way to run the items on Lambda: what an invocation of so many takes, and a cold start, in milliseconds."""

    name: str
    runtime: Runtime
    memory_mb: int
    items: int
    work_ms: float
    start_ms: float
    environments: int
    gets: float
    puts: float

    def usage(self) -> Usage:
        """Of a million items."""
        invocations = math.ceil(MILLION / self.items)
        total_ms = invocations * math.ceil(self.work_ms) + self.environments * self.start_ms
        return Usage(
            invocations=invocations,
            gb_s=gb_s(total_ms, self.memory_mb),
            storage_gb_s=storage_gb_s(total_ms, STORAGE_MB[self.runtime]),
            children=invocations,
            child_gb_s=invocations * child_gb_s(self.work_ms),
            gets=invocations * self.gets,
            puts=invocations * self.puts,
        )


class Alone(msgspec.Struct, frozen=True):
    """What `one_by_one` says."""

    start_ms: float
    work_ms: float


class Plan(msgspec.Struct, frozen=True):
    """What an estimate says of a job."""

    batch_size: int
    max_concurrency: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """The ways, and the items a second and vCPU that SageMaker's instance is taken to do."""

    ways: tuple[Way, ...]
    instance: Instance
    items_per_s_and_vcpu: float

    def instance_usd(self) -> float:
        """Of a million items, with its start."""
        seconds = MILLION / (self.items_per_s_and_vcpu * self.instance.vcpus)
        return (seconds / 3600 + self.instance.start_up_minutes / 60) * self.instance.usd_per_hour


def measure(run: Run) -> Costs:
    """Run the images one by one, and as fanwise plans a million, with both runtimes."""
    folder = run.work / "jpegs"
    prepare_workload(folder, IMAGES)
    images = QUICK_IMAGES if run.quick else IMAGES
    million = _million_items(folder)
    ways: list[Way] = []
    for runtime, name in RUNTIMES.items():
        plan = _plan(run, million, folder / "model", runtime)
        words = (runtime, str(folder), str(min(ONE_BY_ONE, images)))
        alone = run_module("benchmarks.one_by_one", *words, variables=ONEDNN).stdout
        ways.append(way_alone(_one(name), runtime, msgspec.json.decode(alone, type=Alone)))
        job = Job(first_items(folder, images), folder / "model", runtime, batch_size=plan.batch_size)
        with fanwise_run(job, run.work) as ran:
            commits = [commit for commit, _ in ran.commits]
        ways.append(way_planned(_planned(name), runtime, commits, plan))
        for way in ways[-2:]:
            run.say(
                f"{way.name}: {way.work_ms:,.0f} ms for {way.items:,}, {way.start_ms:,.0f} ms a cold start"
            )
    return Costs(
        ways=tuple(ways),
        instance=instance(),
        items_per_s_and_vcpu=round(_loop_items_per_s(run, folder, images), 2),
    )


def _one(runtime: str) -> str:
    return f"an image an invocation, {runtime}"


def _planned(runtime: str) -> str:
    return f"fanwise's plan, {runtime}"


def _plan(run: Run, items: Path, model: Path, runtime: Runtime) -> Plan:
    words = ["estimate", str(items), "--model", str(model), "--runtime", runtime]
    try:
        return msgspec.convert(fanwise_json(words, run.work), Plan)
    except BenchmarkError as error:
        run.say(f"planned without an estimate: {error}")
        return Plan(batch_size=DEFAULT_BATCH_SIZE, max_concurrency=DEFAULT_CONCURRENCY)


def way_alone(name: str, runtime: Runtime, alone: Alone) -> Way:
    """An image an invocation, which reads it and writes its line: as many environments as an account's default."""
    return Way(
        name=name,
        runtime=runtime,
        memory_mb=_memory_mb(),
        items=1,
        work_ms=round(alone.work_ms, 1),
        start_ms=round(alone.start_ms, 1),
        environments=DEFAULT_CONCURRENCY,
        gets=1,
        puts=1,
    )


def way_planned(name: str, runtime: Runtime, commits: Sequence[Commit], plan: Plan) -> Way:
    """What these invocations say of those that a job of a million has, as it is planned."""
    invocations = [commit.invocation for commit in commits]
    done = sum(commit.predicted for commit in commits)
    worked_ms = sum(i.duration_ms - i.load_ms for i in invocations)
    cold = [i.init_ms + i.load_ms for i in invocations if i.cold]
    if not done or not cold:
        raise BenchmarkError(f"{name}: {done} items were predicted, with {len(cold)} cold starts")
    return Way(
        name=name,
        runtime=runtime,
        memory_mb=_memory_mb(),
        items=plan.batch_size,
        work_ms=round(worked_ms / done * plan.batch_size, 1),
        start_ms=round(fmean(cold), 1),
        environments=min(math.ceil(MILLION / plan.batch_size), plan.max_concurrency),
        # An image is a GET; the others are the invocation's.
        gets=round((sum(i.gets for i in invocations) - done) / len(invocations) + plan.batch_size, 1),
        puts=round(fmean(i.puts for i in invocations), 1),
    )


def _memory_mb() -> int:
    return read_stack(stack_root()).functions["PredictBatchLiteRTFunction"].memory_mb


def instance() -> Instance:
    """sagemaker.json."""
    return msgspec.json.decode(Path(__file__).with_name("sagemaker.json").read_bytes(), type=Instance)


def _million_items(folder: Path) -> Path:
    """An items file of a million lines, to be planned and not to be run."""
    path = folder / "million.jsonl"
    if not path.exists():
        lines = (folder / "items.jsonl").read_bytes()
        path.write_bytes(lines * (MILLION // lines.count(b"\n")))
    return path


def _loop_items_per_s(run: Run, folder: Path, images: int) -> float:
    """The hand-written TensorFlow loop's rate, by cores: of this run, or measured now."""
    cores = len(os.sched_getaffinity(0))
    jpegs = run.measured.get("jpegs")
    if isinstance(jpegs, Comparison):
        (loop,) = (m for m in jpegs.measured if m.name == TENSORFLOW_LOOP)
        return median(r.steady_items_per_s for r in loop.runs) / cores
    return steady_items_per_s(tensorflow_loop(folder).answer(images, False).ramps) / cores


def tables(measured: Costs) -> list[Table]:
    """One table."""
    prices = prices_of()
    rows = []
    for one in measured.ways:
        usage = one.usage()
        cost = price(usage, prices)
        rows.append(
            (
                one.name,
                f"{one.items:,}",
                f"{one.work_ms:,.0f}",
                f"{one.start_ms:,.0f}",
                f"{usage.gb_s:,.0f}",
                f"{cost.lambda_usd:.2f}",
                f"{cost.total_usd:.2f}",
            )
        )
    rented, usd = measured.instance, measured.instance_usd()
    rows.append((f"SageMaker Batch Transform, {rented.instance}", "", "", "", "", "", f"{usd:.2f}"))
    lambda_usd = {one.name: price(one.usage(), prices).lambda_usd for one in measured.ways}
    ratios = [
        f"With {name}, an image an invocation costs"
        f" {lambda_usd[_one(name)] / lambda_usd[_planned(name)]:.2f} times as much of Lambda as fanwise's plan."
        for name in RUNTIMES.values()
    ]
    return [
        Table(
            title="A million JPEGs at list price, MobileNetV2 224",
            columns=("", "items each", "ms", "cold start, ms", "GB-s", "Lambda, USD", "all, USD"),
            rows=tuple(rows),
            notes=(
                *ratios,
                f"Functions of {measured.ways[0].memory_mb:,} MB; a core of this machine stands in for a vCPU."
                f" Prices: {prices.label}.",
                f"SageMaker: ${rented.usd_per_hour} an hour ({rented.region}, {rented.price_checked};"
                f" {rented.price_source}), {rented.vcpus} vCPUs at {measured.items_per_s_and_vcpu:g} items/s each,"
                f" the hand-written TensorFlow loop's, and {rented.start_up_minutes:g} minutes to start"
                f" ({rented.start_up_source}).",
            ),
        )
    ]


def charts(measured: Costs) -> list[Chart]:
    """Dollars as bars."""
    prices = prices_of()
    bars = [
        Bar(one.name, price(one.usage(), prices).total_usd, ours=one.name.startswith("fanwise"))
        for one in measured.ways
    ]
    bars.append(Bar(f"SageMaker, {measured.instance.instance}", measured.instance_usd()))
    return [Chart("cost", "A million JPEGs at list price, all services", "USD", tuple(bars))]


PART = Part("cost", Costs, measure, tables, charts)
