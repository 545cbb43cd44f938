"""S3 under load: 3,500 PUTs and 5,500 GETs a second of each prefix (optimizing-performance); beyond, a 503.

Each folder of a job's home is taken for a prefix of its own, and so is whatever the items point at, all together.
S3 grows partitions over minutes; a job is taken to be shorter. The client behind `fanwise.storage` tries a
request again as it is configured there, by obstore's backoff: 0.1 s, then between that and twice the last. A
laptop's folders have no such limits.
"""

import asyncio
import random as randoms
from collections.abc import Callable

from fanwise.reckoning.queueing import S3_GETS_PER_S, S3_PUTS_PER_S
from fanwise.storage import RETRIES
from fanwise_local.simulation.rates import TokenBucket
from fanwise_local.states.errors import StatesError

FIRST_BACKOFF_S, BACKOFF_BASE = 0.1, 2.0


class S3:
    """All prefixes. `slowed` is called with the number of requests that were refused."""

    def __init__(self, random: randoms.Random, slowed: Callable[[int], None], *, limited: bool) -> None:
        self._random = random
        self._slowed = slowed
        self._limited = limited
        self._gets: dict[str, TokenBucket] = {}
        self._puts: dict[str, TokenBucket] = {}

    async def get(self, folder: str) -> None:
        """One GET. Raises `StatesError` with StoreUnavailable when the client gives up."""
        if self._limited:
            await self._request(_bucket(self._gets, folder, S3_GETS_PER_S))

    async def put(self, folder: str) -> None:
        """One PUT. Raises like `get`."""
        if self._limited:
            await self._request(_bucket(self._puts, folder, S3_PUTS_PER_S))

    def reading_s(self, gets: int) -> float:
        """How long an invocation waits, at least, for all that its items point at."""
        if not self._limited or not gets:
            return 0.0
        now_s = asyncio.get_running_loop().time()
        return _bucket(self._gets, "what items point at", S3_GETS_PER_S).queue(now_s, gets)

    async def _request(self, bucket: TokenBucket) -> None:
        loop = asyncio.get_running_loop()
        if bucket.take(loop.time()):
            return
        self._slowed(1)
        backoff_s = FIRST_BACKOFF_S
        for _ in range(RETRIES["max_retries"]):
            await asyncio.sleep(backoff_s)
            if bucket.take(loop.time()):
                return
            self._slowed(1)
            backoff_s = self._random.uniform(FIRST_BACKOFF_S, BACKOFF_BASE * backoff_s)
        raise StatesError("StoreUnavailable", "503 Slow Down (simulated)")


def _bucket(buckets: dict[str, TokenBucket], folder: str, per_s: int) -> TokenBucket:
    if folder not in buckets:
        buckets[folder] = TokenBucket(per_s)
    return buckets[folder]
