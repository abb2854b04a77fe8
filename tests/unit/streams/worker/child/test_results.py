"""What a failure means, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from processors.policy import Backoff, Policy, Retry
from schemas.errors import ConnectionFailed, ErrorCode, InvalidInput, JobError, JobTimeout, ProcessorBug, Unreachable
from schemas.records import JobHeader
from schemas.states import Disposition
from streams.worker.child.results import as_job_error, error_info
from streams.worker.child.retry import RetryDecider

FAILED = (Disposition.FAILED, None)


def judged(
    error: JobError, attempt: int, *, jitter: float = 1.0, retry: Retry | None = None
) -> tuple[Disposition, int | None]:
    header = JobHeader("id", "echo", datetime.now(UTC), "", attempt=attempt, max_attempts=3)
    return RetryDecider(Policy(retry=retry or Retry()), jitter=lambda: jitter).decide(error, header)


def test_what_may_work_again_is_tried_again_until_its_attempts_are_used_up() -> None:
    assert judged(ConnectionFailed("x"), 1) == (Disposition.RETRY, 1000)
    assert judged(ConnectionFailed("x"), 2) == (Disposition.RETRY, 4000)
    assert judged(ConnectionFailed("x"), 3) == FAILED


@pytest.mark.parametrize("error", [InvalidInput("x"), ProcessorBug("x")])
def test_what_can_never_work_is_not_tried_again(error: JobError) -> None:
    assert judged(error, 1) == FAILED


def test_a_processor_may_rule_a_retry_out() -> None:
    never = Retry(never=frozenset({ErrorCode.TIMEOUT_ERROR}))
    assert judged(JobTimeout("x"), 1, retry=never) == FAILED


def test_a_code_may_have_a_backoff_of_its_own() -> None:
    slow = Retry(by_code={ErrorCode.TIMEOUT_ERROR: Backoff(base_s=60, factor=1, max_attempts=2)})
    assert judged(JobTimeout("x"), 1, retry=slow) == (Disposition.RETRY, 60_000)
    assert judged(JobTimeout("x"), 2, retry=slow) == FAILED
    assert judged(ConnectionFailed("x"), 2, retry=slow) == (Disposition.RETRY, 4000)


def test_a_processor_may_allow_fewer_attempts_than_the_job_and_never_more() -> None:
    assert judged(JobTimeout("x"), 1, retry=Retry(max_attempts=1)) == FAILED
    assert judged(JobTimeout("x"), 3, retry=Retry(max_attempts=9)) == FAILED


def test_a_wait_that_the_error_asks_for_is_kept_and_the_jitter_comes_after_it() -> None:
    busy = ConnectionFailed("x", retry_after_s=30)
    assert judged(busy, 1, jitter=0.0) == (Disposition.RETRY, 30_000)
    assert judged(busy, 1, jitter=0.5) == (Disposition.RETRY, 30_500)
    assert judged(ConnectionFailed("x", retry_after_s=1e12), 1, jitter=0.0) == (Disposition.RETRY, 86_400_000)


def test_a_backoff_that_shrinks_is_refused() -> None:
    with pytest.raises(ValueError, match="shrink"):
        Backoff(factor=0.5)


def test_the_wait_has_full_jitter_and_a_ceiling() -> None:
    assert judged(JobTimeout("x"), 1, jitter=0.25) == (Disposition.RETRY, 250)
    assert judged(JobTimeout("x"), 2, retry=Retry(max_s=2)) == (Disposition.RETRY, 2000)


def test_an_attempt_of_any_number_can_be_judged() -> None:
    header = JobHeader("id", "echo", datetime.now(UTC), "", attempt=2**30, max_attempts=2**31 - 1)
    assert RetryDecider(Policy(), jitter=lambda: 1.0).decide(JobTimeout("x"), header) == (
        Disposition.RETRY,
        300_000,
    )


def test_a_surprise_is_the_processors_bug_and_its_message_is_short() -> None:
    told = as_job_error(ValueError("v" * 9000))
    assert isinstance(told, ProcessorBug)
    assert len(told.message) == 500
    assert told.message.startswith("ValueError: v")


def test_an_error_of_ours_keeps_its_code() -> None:
    told = as_job_error(Unreachable("the store is away"))
    assert (told.code, told.retryable) == (ErrorCode.UNREACHABLE, True)


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def raised_elsewhere(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_alike_failures_share_a_fingerprint_whatever_their_values() -> None:
    assert error_info(raised(ValueError("patient 1"))).fingerprint == error_info(raised(ValueError("2"))).fingerprint
    different = {
        error_info(raised(ValueError("1"))).fingerprint,
        error_info(raised(KeyError("1"))).fingerprint,
        error_info(raised_elsewhere(ValueError("1"))).fingerprint,
    }
    assert len(different) == 3
