"""What a bundle takes to run, measured: `profile.json`, beside the model and no part of its digest.

Measured when the bundle is prepared, on that machine, and again by a job on Lambda whose own durations are put in
its place (`fanwise profile`). PlanJob chooses batch sizes by it, estimates and the simulator reckon with it. Each
runtime says for itself what it was measured on, since a job measures one.
"""

import math
from typing import Literal

import msgspec

from fanwise.errors import BundleError
from fanwise.limits import VCPU_MB
from fanwise.records import Runtime

BATCHES = (1, 8, 64, 256, 1024)  # entries that a profile tells the time an item of
_REMEDY = "delete it, and it is measured again"


class MeasuredOn(msgspec.Struct, frozen=True, kw_only=True):
    """Where figures come from. `at` is ISO 8601, UTC; `job_id` the job whose invocations they are, if it was one.

    `memory_mb` is the function's, of what was measured in a job.
    """

    kind: Literal["machine", "lambda"]
    name: str  # the processor's, or the function's Region
    cores: int
    system: str
    fanwise: str
    at: str
    job_id: str | None = None
    memory_mb: int | None = None

    @property
    def headline(self) -> str:
        """`AMD EPYC, 2 cores`, as it is told."""
        if self.kind == "lambda":
            return f"Lambda in {self.name} at {self.memory_mb:,} MB, by job {self.job_id}"
        return f"{self.name}, {self.cores} core{'' if self.cores == 1 else 's'}"


class BatchTime(msgspec.Struct, frozen=True, kw_only=True):
    """How long an item takes in an entry of so many, at one vCPU."""

    items: int
    item_ms: float


class RuntimeProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime's figures.

    `init_ms` is the import of runtime and handler, `load_ms` loading and warming up, both of a cold start.
    `invocation_ms` is what an invocation takes beside its items. `compute_ms` is the model's time an item, in full
    mini-batches of `mini_batch` rows, by vCPUs (threads); `decode_ms` what a thread takes to make an item's row.
    """

    measured_on: MeasuredOn
    init_ms: float
    load_ms: float
    invocation_ms: float
    mini_batch: int
    compute_ms: dict[int, float]
    decode_ms: float
    peak_memory_mb: int
    batches: tuple[BatchTime, ...] = ()

    @property
    def cold_ms(self) -> float:
        """What a new environment takes before it is as a kept one, at one vCPU."""
        return self.init_ms + self.load_ms

    def compute_ms_at(self, vcpus: float) -> float:
        """The model's time an item: by Amdahl's law between and beyond the vCPUs that were measured.

        Below one vCPU a process gets that share of its time (configuration-memory).
        """
        one = self.compute_ms[1]
        if vcpus <= 1:
            return one / vcpus
        most = max(self.compute_ms)
        if most == 1:
            return one
        at_most = min(self.compute_ms[most], one)
        parallel = min(one, (one - at_most) / (1 - 1 / most))
        return one - parallel * (1 - 1 / vcpus)

    def item_ms_at(self, vcpus: float) -> float:
        """An item in a full mini-batch. Decoding has threads of its own, and shares the vCPUs with the model."""
        return self.compute_ms_at(vcpus) + self.decode_ms / vcpus

    def work_ms(self, items: int, memory_mb: float) -> float:
        """A warm invocation with so many items: the last mini-batch is computed whole, however few it has."""
        vcpus = memory_mb / VCPU_MB
        rows = math.ceil(items / self.mini_batch) * self.mini_batch
        decode_ms = items * self.decode_ms / vcpus
        return self.invocation_ms + decode_ms + rows * self.compute_ms_at(vcpus)

    def start_ms(self, memory_mb: float) -> float:
        """What a cold start takes on top: more than a vCPU does not help it, and init has its own."""
        return self.init_ms + self.load_ms / min(1.0, memory_mb / VCPU_MB)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """profile.json."""

    runtimes: dict[Runtime, RuntimeProfile]


def told_by_batch(runtime: RuntimeProfile) -> RuntimeProfile:
    """The same figures, told by size of entry."""
    batches = tuple(
        BatchTime(items=items, item_ms=round(runtime.work_ms(items, VCPU_MB) / items, 4)) for items in BATCHES
    )
    return msgspec.structs.replace(runtime, batches=batches)


def read_profile(text: bytes, where: str) -> Profile:
    """Read profile.json; raises `BundleError` where it is none."""
    try:
        profile = msgspec.json.decode(text, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{where}: not a bundle's profile ({error}); delete it, and it is measured again"
        ) from error
    for name, runtime in profile.runtimes.items():
        wrong = _what_is_wrong(runtime)
        if wrong is not None:
            raise BundleError(f"{where}: {wrong} of {name}; {_REMEDY}")
    return profile


def _what_is_wrong(runtime: RuntimeProfile) -> str | None:
    """The first figure that nothing can be reckoned with."""
    if 1 not in runtime.compute_ms:
        return '"compute_ms" has no figure for 1 vCPU'
    figures = {
        "init_ms": runtime.init_ms,
        "load_ms": runtime.load_ms,
        "invocation_ms": runtime.invocation_ms,
        "decode_ms": runtime.decode_ms,
        "peak_memory_mb": runtime.peak_memory_mb,
        **{f"compute_ms at {vcpus} vCPUs": ms for vcpus, ms in runtime.compute_ms.items()},
    }
    for name, value in figures.items():
        if not (math.isfinite(value) and value >= 0):
            return f'"{name}" is {value}'
    if runtime.mini_batch < 1:
        return f'"mini_batch" is {runtime.mini_batch}'
    if min(runtime.compute_ms) < 1:
        return f'"compute_ms" has a figure for {min(runtime.compute_ms)} vCPUs'
    return None
