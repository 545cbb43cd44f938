"""What a job costs at list price: our reckoning, not AWS's bill.

Two steps, the same for an estimate, a simulation and a job that has ended: what AWS bills is counted
(`Usage`), and a count has a price (`price`). Prices are those of prices.json, which says where and when they were
read: first tiers, without free tier.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self, get_args

import msgspec

from fanwise.records import Invocation, Runtime

Architecture = Literal["x86_64", "arm64"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
DEFAULT_REGION = "us-east-1"  # whose prices stand in for those of a Region that prices.json has not
DEFAULT_ARCHITECTURE: Architecture = "x86_64"

EXPRESS_GB = 64 / 1024  # a child as small as ours is billed the least: 64 MB
EXPRESS_STEP_MS = 100  # duration is rounded up to it
FREE_STORAGE_MB = 512  # of /tmp
STORAGE_MB: dict[Runtime, int] = {
    "litert": 2048,
    "tensorflow": 4096,
}  # of PredictBatch's packagings (template.yaml)

# Start, Started, PlanJob, Planned, AnyWork (the last), JudgeJob, Announce, JobEnded, JobSucceeded, end.
TRANSITIONS_OF_A_JOB = 10
TRANSITIONS_OF_A_ROUND = 3  # AnyWork, PredictItems, AggregateResults


class RegionPrices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars in a Region. Storage is that of /tmp beyond the first 512 MB.

    `checked` is the month in which the oldest of `sources` was true, which PriceList describes. Of the prices in
    `stand_in` none has been read for this Region: they are those of us-east-1.
    """

    checked: str
    sources: tuple[str, ...]
    stand_in: tuple[str, ...] = ()
    lambda_usd_per_gb_s: dict[Architecture, float]
    lambda_usd_per_request: float
    lambda_storage_usd_per_gb_s: float
    standard_usd_per_transition: float
    express_usd_per_request: float
    express_usd_per_gb_s: float
    s3_usd_per_put: float  # and COPY, POST, LIST
    s3_usd_per_get: float  # and all others


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """prices.json. `sources` say where and when prices were read, by the names that Regions give."""

    sources: dict[str, str]
    regions: dict[str, RegionPrices]


@dataclass(frozen=True)
class Prices:
    """The prices that a reckoning rests on. `region` was asked for; `of_region` is whose they are."""

    region: str
    of_region: str
    architecture: Architecture
    usd: RegionPrices

    @property
    def label(self) -> str:
        """What they are, in short: `us-east-1 x86_64 2026-08`, and which of them stand in for others."""
        note = f" (children at {DEFAULT_REGION}'s prices)" if self.usd.stand_in else ""
        if self.region != self.of_region:
            note = f" (for {self.region}, which has no prices here)"
        return f"{self.of_region} {self.architecture} {self.usd.checked}{note}"

    @property
    def lambda_usd_per_gb_s(self) -> float:
        """Of a function's memory, on the architecture."""
        return self.usd.lambda_usd_per_gb_s[self.architecture]


@cache
def price_list() -> PriceList:
    """prices.json, read once."""
    text = files("fanwise").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(text, type=PriceList)


def prices_of(region: str | None = None, architecture: Architecture = DEFAULT_ARCHITECTURE) -> Prices:
    """The prices of a Region, of us-east-1 where none is named; also, and labelled so, where it is not known."""
    known = price_list()
    asked = region or DEFAULT_REGION
    of_region = asked if asked in known.regions else DEFAULT_REGION
    return Prices(asked, of_region, architecture, known.regions[of_region])


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What AWS bills, counted. `gb_s` is that of all functions, `children` are the Map's executions."""

    invocations: float = 0
    gb_s: float = 0.0
    storage_gb_s: float = 0.0
    transitions: float = 0
    children: float = 0
    child_gb_s: float = 0.0
    gets: float = 0
    puts: float = 0

    def __add__(self, other: Self) -> "Usage":
        return Usage(
            **{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Dollars, in the parts that a bill has."""

    lambda_compute: float = 0.0
    lambda_requests: float = 0.0
    lambda_storage: float = 0.0
    transitions: float = 0.0
    children: float = 0.0
    s3_puts: float = 0.0
    s3_gets: float = 0.0

    @property
    def lambda_usd(self) -> float:
        """All that Lambda bills."""
        return self.lambda_compute + self.lambda_requests + self.lambda_storage

    @property
    def step_functions_usd(self) -> float:
        """All that Step Functions bills."""
        return self.transitions + self.children

    @property
    def s3_usd(self) -> float:
        """All requests to S3."""
        return self.s3_puts + self.s3_gets

    @property
    def total_usd(self) -> float:
        """All services together."""
        return self.lambda_usd + self.step_functions_usd + self.s3_usd

    def described(self, prices: Prices) -> dict[str, Any]:
        """As `cost_usd` of summary.json and of an estimate (docs/contracts.md)."""
        return {
            "total": round(self.total_usd, 6),
            "lambda": round(self.lambda_usd, 6),
            "step_functions": round(self.step_functions_usd, 6),
            "s3": round(self.s3_usd, 6),
            "parts": {field.name: round(getattr(self, field.name), 6) for field in fields(self)},
            "estimated": True,
            "prices": prices.label,
        }


def price(usage: Usage, prices: Prices) -> Cost:
    """What that much costs."""
    usd = prices.usd
    return Cost(
        lambda_compute=usage.gb_s * prices.lambda_usd_per_gb_s,
        lambda_requests=usage.invocations * usd.lambda_usd_per_request,
        lambda_storage=usage.storage_gb_s * usd.lambda_storage_usd_per_gb_s,
        transitions=usage.transitions * usd.standard_usd_per_transition,
        children=usage.children * usd.express_usd_per_request + usage.child_gb_s * usd.express_usd_per_gb_s,
        s3_puts=usage.puts * usd.s3_usd_per_put,
        s3_gets=usage.gets * usd.s3_usd_per_get,
    )


def gb_s(duration_ms: float, memory_mb: float) -> float:
    """What Lambda bills of an invocation: whole milliseconds, times its memory."""
    return math.ceil(duration_ms) / 1000 * memory_mb / 1024


class Meter:
    """What an invocation of a function has taken since the handler began."""

    def __init__(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._began = time.monotonic()

    def gb_s(self) -> float:
        """So far, as it is billed."""
        return gb_s((time.monotonic() - self._began) * 1000, self._memory_mb)


def storage_gb_s(duration_ms: float, storage_mb: float) -> float:
    """The same of its /tmp, of which the first 512 MB are free."""
    return gb_s(duration_ms, max(0.0, storage_mb - FREE_STORAGE_MB))


def billed_ms(invocation: Invocation) -> int:
    """What Lambda bills of an invocation: whole milliseconds, its cold start included (since 2025-08-01)."""
    return math.ceil(invocation.duration_ms + (invocation.init_ms if invocation.cold else 0.0))


def child_gb_s(duration_ms: float) -> float:
    """What Step Functions bills of a child that took as long: steps of 100 ms, of 64 MB."""
    return math.ceil(duration_ms / EXPRESS_STEP_MS) * EXPRESS_STEP_MS / 1000 * EXPRESS_GB


def transitions_of(rounds: int) -> int:
    """State transitions of an execution of so many rounds."""
    return TRANSITIONS_OF_A_JOB + rounds * TRANSITIONS_OF_A_ROUND


def usage_of(
    invocations: Iterable[Invocation], *, memory_mb: int, storage_mb: int = FREE_STORAGE_MB
) -> Usage:
    """PredictBatch's invocations at their memory size, each with its child and requests."""
    count, total_ms, in_children, gets, puts = 0, 0, 0.0, 0, 0
    for invocation in invocations:
        duration_ms = billed_ms(invocation)
        count += 1
        total_ms += duration_ms
        in_children += child_gb_s(duration_ms)
        gets += invocation.gets
        puts += invocation.puts
    return Usage(
        invocations=count,
        gb_s=gb_s(total_ms, memory_mb),
        storage_gb_s=storage_gb_s(total_ms, storage_mb),
        children=count,
        child_gb_s=in_children,
        gets=gets,
        puts=puts,
    )
