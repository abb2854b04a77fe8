"""The retry policy decides whether a failed job is retried, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from processors.policy import Backoff, Policy, Retry
from schemas.errors import (
    ConnectionFailed,
    ErrorCode,
    InvalidInput,
    JobError,
    JobTimeout,
    ProcessorBug,
    StoreUnavailable,
)
from schemas.records import JobHeader
from schemas.states import Disposition
from streams.worker.child.retry import RetryDecider

FAILED = (Disposition.FAILED, None)


def decided(
    error: JobError, attempt: int, *, jitter: float = 1.0, retry: Retry | None = None
) -> tuple[Disposition, int | None]:
    header = JobHeader("id", "echo", datetime.now(UTC), "", attempt=attempt, max_attempts=3)
    return RetryDecider(Policy(retry=retry or Retry()), jitter=lambda: jitter).decide(error, header)


def test_a_retryable_error_is_retried_until_the_attempts_are_used_up() -> None:
    assert decided(ConnectionFailed("x"), 1) == (Disposition.RETRY, 1000)
    assert decided(ConnectionFailed("x"), 2) == (Disposition.RETRY, 4000)
    assert decided(ConnectionFailed("x"), 3) == FAILED


@pytest.mark.parametrize("error", [InvalidInput("x"), ProcessorBug("x")])
def test_an_error_that_is_not_retryable_is_final(error: JobError) -> None:
    assert decided(error, 1) == FAILED


def test_an_outage_of_the_object_store_does_not_use_up_the_attempts() -> None:
    assert decided(StoreUnavailable("x"), 3) == (Disposition.RETRY, 16_000)
    assert decided(StoreUnavailable("x"), 1000)[0] is Disposition.RETRY
    assert decided(StoreUnavailable("x"), 3, retry=Retry(never=frozenset({ErrorCode.CONNECTION_ERROR}))) == FAILED


def test_a_record_can_not_ask_for_attempts_without_end() -> None:
    header = JobHeader("id", "echo", datetime.now(UTC), "", attempt=100, max_attempts=2**31 - 1)
    assert RetryDecider(Policy()).decide(ConnectionFailed("x"), header) == FAILED


def test_a_processor_may_forbid_a_retry() -> None:
    never = Retry(never=frozenset({ErrorCode.TIMEOUT_ERROR}))
    assert decided(JobTimeout("x"), 1, retry=never) == FAILED


def test_a_code_may_have_its_own_backoff() -> None:
    slow = Retry(by_code={ErrorCode.TIMEOUT_ERROR: Backoff(base_s=60, factor=1, max_attempts=2)})
    assert decided(JobTimeout("x"), 1, retry=slow) == (Disposition.RETRY, 60_000)
    assert decided(JobTimeout("x"), 2, retry=slow) == FAILED
    assert decided(ConnectionFailed("x"), 2, retry=slow) == (Disposition.RETRY, 4000)


def test_a_processor_may_allow_fewer_attempts_than_the_job_and_never_more() -> None:
    assert decided(JobTimeout("x"), 1, retry=Retry(max_attempts=1)) == FAILED
    assert decided(JobTimeout("x"), 3, retry=Retry(max_attempts=9)) == FAILED


def test_a_wait_that_the_error_asks_for_is_kept_and_the_jitter_comes_after_it() -> None:
    busy = ConnectionFailed("x", retry_after_s=30)
    assert decided(busy, 1, jitter=0.0) == (Disposition.RETRY, 30_000)
    assert decided(busy, 1, jitter=0.5) == (Disposition.RETRY, 30_500)
    assert decided(ConnectionFailed("x", retry_after_s=1e12), 1, jitter=0.0) == (Disposition.RETRY, 86_400_000)


def test_a_backoff_that_shrinks_is_refused() -> None:
    with pytest.raises(ValueError, match="shrink"):
        Backoff(factor=0.5)


def test_the_wait_has_full_jitter_and_a_maximum() -> None:
    assert decided(JobTimeout("x"), 1, jitter=0.25) == (Disposition.RETRY, 250)
    assert decided(JobTimeout("x"), 2, retry=Retry(max_s=2)) == (Disposition.RETRY, 2000)


def test_an_attempt_of_any_number_can_be_decided() -> None:
    header = JobHeader("id", "echo", datetime.now(UTC), "", attempt=2**30, max_attempts=2**31 - 1)
    assert RetryDecider(Policy(), jitter=lambda: 1.0).decide(StoreUnavailable("x"), header) == (
        Disposition.RETRY,
        300_000,
    )
