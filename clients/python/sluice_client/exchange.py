"""Sends a request, again as the policy allows, and reads its answer."""

from __future__ import annotations

from sluice_client.context import Context
from sluice_client.errors import (
    DeadlineCannotBeMet,
    SluiceError,
    UnexpectedAnswer,
    Unreachable,
    error_of,
    retry_after_of,
)
from sluice_client.wire import Answer, Broken, Open, Operation, Read, Request, Sleep

#: The gateway, or a proxy before it, can't work now; the request had no effect.
PASSING = frozenset({429, 502, 503, 504})


class Attempts:
    """Counts the failures of a request and decides how long to wait before the next attempt."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._began = context.clock()
        self.failures = 0

    def next_delay(self, retry_after_s: float | None = None) -> float | None:
        """Return the seconds to wait, or None if there is to be no further attempt."""
        retry = self._context.retry
        self.failures += 1
        delay = retry.delay(self.failures, retry_after_s, self._context.share())
        left = self._began + retry.total_s - self._context.clock()
        return None if self.failures >= retry.attempts or delay > left else delay


def exchange(context: Context, request: Request) -> Operation[Answer]:
    """Send a request until it succeeds. Raises Refused and its kinds, Unreachable, UnexpectedAnswer.

    A request whose bytes may have left is sent again only if it is `repeatable`.
    """
    attempts = Attempts(context)
    while True:
        error: SluiceError
        try:
            answer = yield from once(context, request)
        except Broken as broken:
            error = unreachable(broken)
            delay = attempts.next_delay() if request.repeatable or not broken.sent else None
        else:
            if answer.status < 300:
                return answer
            error = error_of(answer)
            again = may_pass(answer.status, error) and (request.repeatable or answer.status in (429, 503))
            delay = attempts.next_delay(retry_after_of(answer)) if again else None
        if delay is None:
            raise error
        yield Sleep(delay)


def once(context: Context, request: Request) -> Operation[Answer]:
    """Send a request once and read the whole answer. Raises Broken, UnexpectedAnswer."""
    head: Answer = yield Open(request)
    body = yield from read_all(context, head)
    return Answer(head.status, head.headers, body)


def read_all(context: Context, head: Answer) -> Operation[bytes]:
    """Read the rest of the open answer. Raises UnexpectedAnswer if it is larger than the limit."""
    body = bytearray()
    while chunk := (yield Read()):
        body += chunk
        if len(body) > context.limits.most_bytes:
            raise UnexpectedAnswer(
                f"The answer (status {head.status}) is larger than {context.limits.most_bytes} bytes.",
                "Raise Limits.most_bytes, or let the job write its output to a file.",
            )
    return bytes(body)


def may_pass(status: int, error: SluiceError) -> bool:
    """Return whether the same request may succeed a little later. A deadline that can't be met is for the caller to move."""
    return status in PASSING and not isinstance(error, DeadlineCannotBeMet)


def unreachable(broken: Broken) -> Unreachable:
    error = Unreachable(
        f"The gateway did not answer ({broken.reason}).", "Check SLUICE_GATEWAY_URL, and `/livez` of the gateway."
    )
    error.__cause__ = broken.__cause__
    return error
