"""Limits of requests a second, as AWS keeps them: a bucket of tokens that fills again."""


class TokenBucket:
    """So many requests a second, and at once as many as a second fills (or `burst`). Times do not go back."""

    def __init__(self, per_s: float, burst: float | None = None) -> None:
        self._per_s = per_s
        self._burst = per_s if burst is None else burst
        self._tokens = self._burst
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether a request may pass now."""
        self._fill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def queue(self, now_s: float, requests: float) -> float:
        """Seconds until so many requests, which wait in line, have passed."""
        self._fill(now_s)
        self._tokens -= requests
        return max(0.0, -self._tokens / self._per_s)

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
