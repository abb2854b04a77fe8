"""Decides whether a failed job is retried, and when."""

from __future__ import annotations

import random
from collections.abc import Callable

from processors.policy import Policy
from schemas.errors import JobCancelled, JobError, StoreUnavailable
from schemas.records import JobHeader
from schemas.states import Disposition
from streams.worker.child.text import number_or_none

#: The backoff has reached its maximum long before. Attempts come from the record and may be any number.
LARGEST_EXPONENT = 32
#: The longest wait that a job's error can ask for: a day.
LONGEST_RETRY_AFTER_S = 86_400.0
#: Attempts that a record can ask for; with the longest backoff that is hours. A foreign producer may write any number.
MAX_ATTEMPTS = 100


class RetryDecider:
    """Applies a processor's retry policy."""

    def __init__(self, policy: Policy, jitter: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._jitter = jitter

    def decide(self, error: JobError, header: JobHeader) -> tuple[Disposition, int | None]:
        """Return RETRY and the milliseconds to wait, or the final disposition and None.

        A wait that the error asks for (`retry_after_s`) is never shortened.
        """
        if isinstance(error, JobCancelled):
            return Disposition.CANCELLED, None
        backoff = self._policy.retry.backoff(error.code) if error.retryable else None
        if backoff is None:
            return Disposition.FAILED, None
        attempts = min(header.max_attempts, backoff.max_attempts or header.max_attempts, MAX_ATTEMPTS)
        # An outage of the store is no fault of the job: it waits as long as it may, and the timekeeper ends it at its deadline.
        if header.attempt >= attempts and not isinstance(error, StoreUnavailable):
            return Disposition.FAILED, None
        exponent = min(max(header.attempt - 1, 0), LARGEST_EXPONENT)
        longest_s = min(backoff.max_s, backoff.base_s * backoff.factor**exponent)
        retry_after_s = number_or_none(getattr(error, "retry_after_s", None)) or 0.0
        wait_s = min(max(retry_after_s, 0.0), LONGEST_RETRY_AFTER_S) + self._jitter() * longest_s
        return Disposition.RETRY, int(wait_s * 1000)
