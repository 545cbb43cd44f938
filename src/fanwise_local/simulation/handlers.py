"""The four functions, as a simulation has them: the handlers' own code where it decides, durations where it works.

AggregateResults and HandleFailure run as they are, over the job's home in memory. Of PlanJob there is the plan
(`plan`), of PredictBatch what becomes of an entry in the time that its invocation has. Every item is predicted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fanwise.aggregation import aggregate_results
from fanwise.commits import answer_of, decide, read_commit
from fanwise.failures import handle_failure
from fanwise.items.lines import bytes_to_read, rest_in_invocations
from fanwise.limits import AFTER_LOAD_S, DEADLINE_RESERVE_S
from fanwise.reckoning.estimate import (
    ACCOUNT_S_A_COMMIT,
    GETS_OF_A_JOB,
    GETS_OF_A_START,
    GETS_OF_AN_INVOCATION,
    PLAN_BYTES_PER_S,
    PUTS_OF_A_JOB,
    PUTS_OF_AN_INVOCATION,
)
from fanwise.records import Commit, Entry, Invocation, Job, Part
from fanwise.storage import Storage
from fanwise_local.simulation.counts import Counts
from fanwise_local.simulation.durations import Chance, Durations
from fanwise_local.simulation.plan import HOME, first_round
from fanwise_local.simulation.scenario import Scenario
from fanwise_local.simulation.slow_downs import S3
from fanwise_local.simulation.store import RESULTS, ItemsFile, Objects
from fanwise_local.states.errors import StatesError
from fanwise_local.states.payloads import JSON

HANDLE_FAILURE_S = 0.2  # three requests and a cut; nobody has measured it on Lambda
GETS_OF_HANDLE_FAILURE, PUTS_OF_HANDLE_FAILURE = 3, 1
TIMED_OUT = "Sandbox.Timedout"

Handler = Callable[[dict[str, Any], bool], Awaitable[JSON]]


class Handlers:
    """What each function does with its event, in a new environment (`cold`) or not; by its logical id."""

    def __init__(
        self,
        scenario: Scenario,
        job: Job,
        storage: Storage,
        results: Objects,
        items: ItemsFile,
        chance: Chance,
        s3: S3,
        counts: Counts,
    ) -> None:
        self._scenario = scenario
        self._job = job
        self._storage = storage
        self._results = results
        self._items = items
        self._chance = chance
        self._s3 = s3
        self._counts = counts
        self._durations = Durations(scenario)
        self._requests = 0
        self.summary: dict[str, Any] | None = None  # AggregateResults' last word
        self.by_function: dict[str, Handler] = {
            "PlanJobFunction": self._plan_job,
            "PredictBatchLiteRTFunction": self._predict_batch,
            "PredictBatchTensorFlowFunction": self._predict_batch,
            "HandleFailureFunction": self._handle_failure,
            "AggregateResultsFunction": self._aggregate_results,
        }

    async def _plan_job(self, event: dict[str, Any], _cold: bool) -> JSON:
        work_s = self._scenario.others_start_s + self._scenario.work.size_bytes / PLAN_BYTES_PER_S
        await asyncio.sleep(work_s * self._chance.jitter())
        self._counts.gets += GETS_OF_A_JOB
        self._counts.puts += PUTS_OF_A_JOB
        return first_round(
            self._job, self._items, started_at=event["started_at"], execution=event["execution"]
        )

    async def _aggregate_results(self, event: dict[str, Any], cold: bool) -> JSON:
        read, lists = self._results.ledger_reads, self._results.lists
        answer = aggregate_results(
            event, self._storage, results_bucket=RESULTS, memory_mb=self._scenario.size.memory_mb
        )
        self.summary = answer.get("summary")
        self._counts.gets += self._results.ledger_reads - read
        self._counts.puts += self._results.lists - lists
        work_s = self._scenario.others_start_s * cold + self._results.commits * ACCOUNT_S_A_COMMIT
        await asyncio.sleep(work_s * self._chance.jitter())
        return answer

    async def _handle_failure(self, event: dict[str, Any], cold: bool) -> JSON:
        await asyncio.sleep((self._scenario.others_start_s * cold + HANDLE_FAILURE_S) * self._chance.jitter())
        for _ in range(GETS_OF_HANDLE_FAILURE - 1):
            await self._s3.get("commits")
        await self._s3.put("commits")
        self._counts.gets += GETS_OF_HANDLE_FAILURE
        self._counts.puts += PUTS_OF_HANDLE_FAILURE
        return handle_failure(
            event,
            self._storage,
            results_bucket=RESULTS,
            timeout_s=self._scenario.size.timeout_s,
            request_id=self._request_id(),
        )

    async def _predict_batch(self, event: dict[str, Any], cold: bool) -> JSON:
        self._counts.invocations += 1
        load_s = await self._start(cold)
        if "entry" in event:
            return await self._predict_entry(event["entry"], load_s, cold)
        probe = event.get("probe")
        work_s = 0.0 if probe is None else self._durations.work_s(probe["count"]) * self._chance.jitter()
        await self._work(load_s + work_s)
        return {"probed": 0 if probe is None else probe["count"], "failed": 0}

    async def _start(self, cold: bool) -> float:
        """Init, before the time of the invocation begins; what loading takes of that time."""
        if not cold:
            return 0.0
        self._counts.cold_starts += 1
        self._counts.gets += GETS_OF_A_START
        factor = self._chance.jitter()
        await asyncio.sleep(self._durations.init_s * factor)
        return self._durations.load_s * factor

    async def _work(self, seconds: float, *, after_s: float = 0.0) -> None:
        """Work for so long, so long after the invocation began, or die of the timeout."""
        timeout_s = self._scenario.size.timeout_s
        await asyncio.sleep(min(seconds, timeout_s - after_s))
        if after_s + seconds > timeout_s:
            raise StatesError(
                TIMED_OUT, f"RequestId: simulated Error: Task timed out after {timeout_s:.2f} seconds"
            )

    async def _predict_entry(self, asked: dict[str, Any], load_s: float, cold: bool) -> JSON:
        """As prediction.batch: what is decided is told; else what time allows is predicted, and committed."""
        await self._s3.get("commits")
        self._counts.gets += 1
        commit = read_commit(self._storage, HOME, asked["entry"])
        if commit is None:
            commit = await self._predict_and_commit(Entry(**asked), load_s, cold)
        return answer_of(commit)

    async def _predict_and_commit(self, entry: Entry, load_s: float, cold: bool) -> Commit:
        timeout_s = self._scenario.size.timeout_s
        if load_s < timeout_s < load_s + AFTER_LOAD_S:
            await self._work(load_s)
            raise StatesError("StoreUnavailable", f"the model took {load_s:.0f} s to load (simulated)")
        try:
            if load_s:
                await self._work(load_s)
            done, work_s = self._begun(entry, load_s)
            await self._work(work_s, after_s=load_s)
        except StatesError:
            self._counts.died()
            raise
        await self._s3.put("predictions")
        await self._s3.put("commits")
        self._counts.puts += PUTS_OF_AN_INVOCATION
        rest: tuple[Entry, ...] = ()
        if done < entry.count:
            rest = self._rest(entry, done, work_s)
            self._counts.left_rest()
        request_id = self._request_id()
        return decide(
            self._storage,
            HOME,
            Commit(
                entry=entry.entry,
                attempt=entry.attempt,
                invocation=Invocation(
                    request_id=request_id, duration_ms=round((load_s + work_s) * 1000, 1), cold=cold
                ),
                predicted=done,
                predictions=Part(
                    key=f"predictions/{entry.entry}-{request_id}.jsonl",
                    first=entry.first,
                    count=done,
                    size_bytes=0,
                ),
                rest=rest,
            ),
        )

    def _begun(self, entry: Entry, load_s: float) -> tuple[int, float]:
        """Ask for what the items point at: how many are predicted, and how long that takes, S3's pace in it."""
        self._counts.gets += GETS_OF_AN_INVOCATION - 1
        work_s = self._durations.work_s(entry.count) * self._chance.of_work()
        gets = entry.count * self._scenario.work.reads
        self._counts.gets += gets
        reading_s = self._s3.reading_s(gets)
        if reading_s > work_s:
            self._counts.slow_downs += round(gets * (1 - work_s / reading_s))
            work_s = reading_s
        return self._in_time(entry.count, load_s, work_s)

    def _in_time(self, items: int, load_s: float, work_s: float) -> tuple[int, float]:
        """How many items are predicted, and how long that takes: the pipeline's rule.

        The first mini-batch is always tried, a further one if there is time for it before the reserve.
        """
        left_s = self._scenario.size.timeout_s - DEADLINE_RESERVE_S - load_s
        if work_s <= left_s:
            return items, work_s
        mini_batches = -(-items // self._durations.mini_batch)
        each_s = work_s / mini_batches
        done = max(1, int(left_s / each_s))
        if done >= mini_batches:
            return items, work_s
        return done * self._durations.mini_batch, done * each_s

    def _rest(self, entry: Entry, done: int, work_s: float) -> tuple[Entry, ...]:
        source = self._job.items
        return rest_in_invocations(
            entry,
            self._storage.read(source.uri, *bytes_to_read(entry)),
            source.kind,
            done,
            item_s=work_s / done,
            invocation_s=self._scenario.size.timeout_s - DEADLINE_RESERVE_S,
        )

    def _request_id(self) -> str:
        self._requests += 1
        return f"{self._requests:08d}"
