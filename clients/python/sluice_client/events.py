"""Event streams that connect again after a broken connection, without loss and without repetition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from sluice_client.context import Context, segment
from sluice_client.errors import SluiceError, UnexpectedAnswer, UsageError, error_of
from sluice_client.exchange import may_pass, read_all, unreachable
from sluice_client.models import Event, Job, OutcomeEvent, ProgressEvent, Result, StateEvent, TextEvent
from sluice_client.options import EventFilter, options_of
from sluice_client.parse import build, json_of
from sluice_client.sse import Message, SseParser
from sluice_client.wire import Answer, Broken, Emit, Open, Operation, Read, Request, Sleep, Stream

#: Seconds before connecting again after the gateway has ended a stream, unless it says `retry:`.
_RECONNECT_S = 1.0
#: Return the event to emit, or None to leave it out.
Select: TypeAlias = Callable[[Event], Event | None]


def follow(context: Context, job_id: str | None, filters: Mapping[str, Any], after: str | None) -> Stream:
    """Emit the events of one job, of which the outcome is the last; or of all jobs that match, without end."""
    query = options_of(filters, EventFilter)
    if job_id is None:
        return _follow(context, _request(context, "/v1/events", query), after, lambda event: event, False)
    if query:
        raise UsageError("events() takes a job or filters, not both.")
    return _follow(context, _request(context, _path(job_id), {}), after, lambda event: event, True)


def texts(context: Context, job_id: str) -> Stream:
    """Emit the text events of one job until its outcome, marked where an execution begins again."""
    shown: list[tuple[int, int, int]] = []

    def select(event: Event) -> Event | None:
        if not isinstance(event, TextEvent):
            return None
        execution = (event.run, event.attempt, event.execution)
        restarted = bool(shown) and shown[-1] != execution
        shown[:] = [execution]
        return replace(event, restarted=restarted)

    return _follow(context, _request(context, _path(job_id), {}), None, select, True)


def event_of(message: Message) -> Event | None:
    """Return the event in a message; None for a kind that this version does not know. Raises UnexpectedAnswer."""
    if message.name == "state":
        return StateEvent(message.id, build(Job, json_of(message.data)))
    if message.name == "outcome":
        return OutcomeEvent(message.id, build(Result, json_of(message.data)))
    kind = {"progress": ProgressEvent, "text": TextEvent}.get(message.name)
    if kind is None:
        return None
    data = json_of(message.data)
    return build(kind, {**data, "id": message.id} if isinstance(data, dict) else data)


def _path(job_id: str) -> str:
    return f"/v1/jobs/{segment(job_id)}/events"


def _request(context: Context, path: str, query: Mapping[str, Any]) -> Request:
    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    return context.request("GET", path, query, headers=headers)


def _follow(context: Context, request: Request, after: str | None, select: Select, until_outcome: bool) -> Stream:
    """Emit what `select` returns, over as many connections as it takes. Raises Unreachable and what `exchange` raises."""
    parser = SseParser(after or "", context.limits.most_bytes)
    failures, alive = 0, context.clock()
    while True:
        error: SluiceError | None = None
        parser.begin()
        try:
            if (yield from _connection(context, request, parser, select, until_outcome)):
                return
        except Broken as broken:
            error = unreachable(broken)
        except SluiceError as refused:
            if not may_pass(getattr(refused, "status", 0), refused):
                raise
            error = refused
        if parser.connected:
            failures, alive = 0, context.clock()
        if error is None:
            wish = _RECONNECT_S if parser.retry_s is None else parser.retry_s
            yield Sleep(wish * (0.5 + context.share() / 2))
            continue
        failures += 1
        delay = context.retry.delay(failures, getattr(error, "retry_after_s", None), context.share())
        if context.clock() + delay > alive + context.retry.reconnect_s:
            raise error
        yield Sleep(delay)


def _connection(
    context: Context, request: Request, parser: SseParser, select: Select, until_outcome: bool
) -> Operation[bool]:
    """Emit the events of one connection; return whether the stream is over. Raises Broken, Refused, UnexpectedAnswer."""
    head: Answer = yield Open(request.having(last_event_id=parser.last_id) if parser.last_id else request)
    if head.status == 204:  # the standard's way to say: do not connect again
        return True
    if head.status != 200:
        raise error_of(Answer(head.status, head.headers, (yield from read_all(context, head))))
    if not head.headers.get("content-type", "").startswith("text/event-stream"):
        raise UnexpectedAnswer("The answer is not an event stream.", "Check the proxies between here and the gateway.")
    parser.connected = True
    while chunk := (yield Read()):
        for message in parser.feed(chunk):
            event = event_of(message)
            chosen = None if event is None else select(event)
            if chosen is not None:
                yield Emit(chosen)
            if until_outcome and isinstance(event, OutcomeEvent):
                return True
    return False
