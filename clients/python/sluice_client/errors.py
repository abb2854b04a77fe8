"""The whole error tree.

SluiceError                  base of every error of this package; has `next_step`
├── UsageError               an argument or a setting can't be used; nothing was sent
├── Unreachable              the gateway did not answer, after all retries
├── UnexpectedAnswer         the answer is not one of a sluice gateway (a proxy's page, another version)
├── WaitTimeout              the job or batch had not ended in time; it goes on. Also a TimeoutError
├── JobFailed                raised by `Result.output_or_raise`: the job ended without an output
├── HashMismatch             downloaded bytes have another sha256 than the result says; they were removed
├── BadSignature             a callback is not signed with one of the secrets, or is too old
└── Refused                  the gateway answered with a problem (RFC 9457); has `status`, `code`, `detail`, `errors`
    ├── Unauthenticated      401: no token, or one that is unknown, revoked or expired
    ├── Forbidden            403: the token lacks a scope
    ├── NotFound             404: no such job, batch, upload or file, or another tenant's
    ├── Conflict             409: the same idempotency key came with another input
    │   └── NotFinished      409: a result was asked for before the job had ended
    ├── PayloadTooLarge      413
    ├── InvalidInput         422: the body or an option can't be accepted
    │   └── UnknownProcessor 422: `next_step` says the nearest name
    ├── QuotaExceeded        429: too many requests or jobs in flight; has `retry_after_s`
    └── Unavailable          503: the gateway or a store behind it can't work now; has `retry_after_s`
        └── DeadlineCannotBeMet  503: the queue is too long for the deadline of the job
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sluice_client.wire import Answer

if TYPE_CHECKING:
    from sluice_client.models import Batch, Job


class SluiceError(Exception):
    """Base of every error of this package."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(f"{message} {next_step}".rstrip())
        self.message = message
        #: What to do about it; "" if the message says it.
        self.next_step = next_step


class UsageError(SluiceError, ValueError):
    """An argument or a setting can't be used."""


class Unreachable(SluiceError):
    """The gateway did not answer."""


class UnexpectedAnswer(SluiceError):
    """The answer is not one of a sluice gateway."""


class WaitTimeout(SluiceError, TimeoutError):
    """Had not ended in time. `last` is the job or batch as it was."""

    def __init__(self, message: str, last: Job | Batch) -> None:
        super().__init__(message, "It goes on: wait again, or cancel it.")
        self.last = last


class JobFailed(SluiceError):
    """The job ended without an output."""

    def __init__(self, message: str, status: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class HashMismatch(SluiceError):
    """Downloaded bytes have another sha256 or size."""


class BadSignature(SluiceError):
    """A callback is not signed with one of the secrets, or is too old."""


class Refused(SluiceError):
    """The gateway answered with a problem."""

    def __init__(self, answer: Answer, problem: Mapping[str, Any]) -> None:
        self.status = answer.status
        self.code = str(problem.get("code") or "")
        self.title = str(problem.get("title") or f"HTTP {answer.status}")
        self.detail = str(problem.get("detail") or self.title)
        #: Fields of the body that are wrong: {"loc": [...], "msg": "..."}; never their values.
        self.errors: tuple[Mapping[str, Any], ...] = tuple(
            error for error in problem.get("errors") or () if isinstance(error, dict)
        )
        #: Seconds after which it is worth to ask again; None if the gateway did not say.
        self.retry_after_s = retry_after_of(answer)
        message = self.detail
        if self.errors:
            message += " " + "; ".join(f"{_place(error)}: {error.get('msg')}" for error in self.errors[:10]) + "."
        super().__init__(message, str(problem.get("next_step") or ""))


class Unauthenticated(Refused):
    """The token is missing, unknown, revoked or expired."""


class Forbidden(Refused):
    """The token lacks a scope."""


class NotFound(Refused):
    """No such job, batch, upload or file."""


class Conflict(Refused):
    """The same idempotency key came with another input, or the state forbids it."""


class NotFinished(Conflict):
    """The job has not ended."""


class PayloadTooLarge(Refused):
    """The body is larger than the gateway accepts."""


class InvalidInput(Refused):
    """The body or an option can't be accepted."""


class UnknownProcessor(InvalidInput):
    """No processor has this name."""


class QuotaExceeded(Refused):
    """The tenant has sent too many requests, or has too many jobs in flight."""


class Unavailable(Refused):
    """The gateway or a store behind it can't work now."""


class DeadlineCannotBeMet(Unavailable):
    """The queue is too long for the job's deadline."""


_BY_CODE: Mapping[str, type[Refused]] = {
    "NOT_FINISHED": NotFinished,
    "UNKNOWN_PROCESSOR": UnknownProcessor,
    "DEADLINE_CANNOT_BE_MET": DeadlineCannotBeMet,
    "QUOTA_EXCEEDED": QuotaExceeded,
}
_BY_STATUS: Mapping[int, type[Refused]] = {
    400: InvalidInput,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: PayloadTooLarge,
    422: InvalidInput,
    429: QuotaExceeded,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(answer: Answer) -> SluiceError:
    """Return the error that an answer with a status of 300 or more stands for."""
    problem = problem_of(answer)
    cls = _BY_CODE.get(str(problem.get("code"))) or _BY_STATUS.get(answer.status)
    if cls is not None:
        return cls(answer, problem)
    if problem:
        return Refused(answer, problem)
    return UnexpectedAnswer(
        f"The answer has status {answer.status} and is not a problem document.",
        "Check SLUICE_GATEWAY_URL, and the proxies between here and the gateway.",
    )


def problem_of(answer: Answer) -> Mapping[str, Any]:
    """Return the problem document of an answer; empty if it has none, such as a proxy's page."""
    try:
        problem = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) and ("code" in problem or "status" in problem) else {}


def retry_after_of(answer: Answer) -> float | None:
    """Return the seconds of `Retry-After`, which may also be a time; None if there is none or it can't be read."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _time(text)
    if until is None:
        return None
    now = _time(answer.headers.get("date", "")) or datetime.now(UTC)  # the gateway's clock, if it says it
    return max(0.0, (until - now).total_seconds())


def _time(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _place(error: Mapping[str, Any]) -> str:
    loc = error.get("loc")
    return ".".join(str(part) for part in loc) if isinstance(loc, list) else str(loc)
