"""Backoff: how long a failed job waits before it runs again."""

from __future__ import annotations

from domain.job.spec import Retry
from domain.values.time import SECOND


def backoff(retry: Retry, failures: int, jitter_milli: int) -> int:
    """Microseconds to wait after the `failures`th failure: doubling, capped, then jittered.

    Equal jitter: half of the capped wait is kept, half is scaled by `jitter_milli`/1000
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    capped = min(retry.backoff_seconds << min(failures - 1, 20), retry.max_backoff_seconds)
    return capped * SECOND * (1000 + jitter_milli) // 2000
