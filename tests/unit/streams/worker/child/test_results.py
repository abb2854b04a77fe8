"""A result describes an error by its code, its type and a fingerprint."""

from __future__ import annotations

import pytest

from schemas.errors import ErrorCode, ProcessorBug, Unreachable
from streams.worker.child.results import as_job_error, error_info


def test_an_unexpected_error_is_the_processors_bug_and_its_message_is_cut() -> None:
    error = as_job_error(ValueError("v" * 9000))
    assert isinstance(error, ProcessorBug)
    assert len(error.message) == 500
    assert error.message.startswith("ValueError: v")


def test_an_error_of_the_engine_keeps_its_code() -> None:
    error = as_job_error(Unreachable("the store is away"))
    assert (error.code, error.retryable) == (ErrorCode.UNREACHABLE, True)


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def raised_elsewhere(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_similar_errors_share_a_fingerprint_whatever_their_values() -> None:
    assert error_info(raised(ValueError("patient 1"))).fingerprint == error_info(raised(ValueError("2"))).fingerprint
    different = {
        error_info(raised(ValueError("1"))).fingerprint,
        error_info(raised(KeyError("1"))).fingerprint,
        error_info(raised_elsewhere(ValueError("1"))).fingerprint,
    }
    assert len(different) == 3
