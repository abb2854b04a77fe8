"""Operations on jobs, batches and processors: which requests, and how their answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from uuid import uuid4

from sluice_client.context import Context, segment
from sluice_client.errors import UsageError, WaitTimeout
from sluice_client.exchange import exchange
from sluice_client.models import Batch, Job, Page, ProcessorInfo, Result
from sluice_client.options import BatchOptions, JobFilter, JobOptions, options_of, to_json
from sluice_client.parse import build, json_of, record_of
from sluice_client.wire import Emit, Operation, Request, Sleep, Stream

J = TypeVar("J", Job, Batch)

#: Seconds of one long poll: below the idle limit of usual proxies.
LONGEST_POLL_S = 25.0
#: Waits between looks, where the gateway answers at once.
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 2.0
_JSON = {"content-type": "application/json"}


def submit(
    context: Context, processor: str, input_: object, key: str | None, options: Mapping[str, Any]
) -> Operation[Job]:
    body = {"processor": processor, "input": input_, **options_of(options, JobOptions)}
    answer = yield from exchange(context, _post_once(context, "/v1/jobs", body, key))
    return record_of(Job, answer)


def submit_batch(
    context: Context, processor: str, inputs: Iterable[object], key: str | None, options: Mapping[str, Any]
) -> Operation[Batch]:
    body = {"processor": processor, "inputs": list(inputs), **options_of(options, BatchOptions)}
    answer = yield from exchange(context, _post_once(context, "/v1/batches", body, key))
    return record_of(Batch, answer)


def job(context: Context, job_id: str, run: int | None) -> Operation[Job]:
    answer = yield from exchange(context, context.request("GET", f"/v1/jobs/{segment(job_id)}", {"run": run}))
    return record_of(Job, answer)


def jobs(context: Context, filters: Mapping[str, Any], page: int) -> Stream:
    """Emit jobs, page by page; a page is fetched when the one before it is used up."""
    query = options_of(filters, JobFilter)
    cursor: str | None = None
    while True:
        request = context.request("GET", "/v1/jobs", {**query, "limit": page, "cursor": cursor})
        answer = yield from exchange(context, request)
        found = record_of(Page, answer)
        for item in found.items:
            yield Emit(item)
        cursor = found.next_cursor
        if cursor is None:
            return


def cancel(context: Context, job_id: str, reason: str | None) -> Operation[Job]:
    body = {} if reason is None else {"reason": reason}
    path = f"/v1/jobs/{segment(job_id)}/cancel"
    answer = yield from exchange(context, context.request("POST", path, content=to_json(body), headers=_JSON))
    return record_of(Job, answer)


def result(context: Context, job_id: str, run: int | None) -> Operation[Result]:
    answer = yield from exchange(context, context.request("GET", f"/v1/jobs/{segment(job_id)}/result", {"run": run}))
    return record_of(Result, answer)


def batch(context: Context, batch_id: str) -> Operation[Batch]:
    answer = yield from exchange(context, context.request("GET", f"/v1/batches/{segment(batch_id)}"))
    return record_of(Batch, answer)


def cancel_batch(context: Context, batch_id: str) -> Operation[Batch]:
    path = f"/v1/batches/{segment(batch_id)}/cancel"
    answer = yield from exchange(context, context.request("POST", path, content=b"{}", headers=_JSON))
    return record_of(Batch, answer)


def processors(context: Context) -> Operation[tuple[ProcessorInfo, ...]]:
    answer = yield from exchange(context, context.request("GET", "/v1/processors"))
    data = json_of(answer.body)
    return tuple(build(ProcessorInfo, item) for item in (data.get("items") or () if isinstance(data, dict) else ()))


def wait(context: Context, job_id: str, timeout_s: float | None, run: int | None) -> Operation[Job]:
    """Ask by long poll until the job has ended. Raises WaitTimeout with the job as it was."""

    def look(wait_s: float) -> Request:
        query = {"run": run, "wait": f"{wait_s:.3f}" if wait_s else None}
        return context.request("GET", f"/v1/jobs/{segment(job_id)}", query, wait_s=wait_s)

    return (yield from _wait(context, look, Job, lambda found: found.ended, timeout_s))


def wait_batch(context: Context, batch_id: str, timeout_s: float | None) -> Operation[Batch]:
    """Look again until all jobs of the batch have ended. Raises WaitTimeout with the batch as it was."""

    def look(wait_s: float) -> Request:
        return context.request("GET", f"/v1/batches/{segment(batch_id)}")

    return (yield from _wait(context, look, Batch, lambda found: found.done, timeout_s))


def _wait(
    context: Context,
    look: Callable[[float], Request],
    cls: type[J],
    ended: Callable[[J], bool],
    timeout_s: float | None,
) -> Operation[J]:
    until = None if timeout_s is None else context.clock() + timeout_s
    pause = _FIRST_LOOK_S
    while True:
        asked = context.clock()
        wait_s = LONGEST_POLL_S if until is None else max(0.0, min(LONGEST_POLL_S, until - asked))
        answer = yield from exchange(context, look(wait_s))
        found = record_of(cls, answer)
        if ended(found):
            return found
        now = context.clock()
        if until is not None and now >= until:
            raise WaitTimeout(f"It had not ended after {timeout_s:g} s.", found)
        if now - asked < wait_s / 2:  # answered before its time: a stopping gateway, or a wait below a second
            yield Sleep(pause if until is None else min(pause, until - now))
            pause = min(pause * 1.5, _LONGEST_LOOK_S)


def _post_once(context: Context, path: str, body: object, key: str | None) -> Request:
    """Return a submit that may be sent again: its idempotency key makes it one job, whatever breaks in between."""
    key = uuid4().hex if key is None else key
    if not (key and key.isascii() and key.isprintable() and key == key.strip()):
        raise UsageError("The idempotency key is empty or has characters that a header can't hold.", "Use ASCII.")
    return context.request("POST", path, content=to_json(body), headers={**_JSON, "idempotency-key": key})
