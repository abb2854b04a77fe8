"""Canary jobs: a small job that is submitted again and again, whose end is awaited and timed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.contract import contract
from schemas.errors import UsageError
from schemas.states import TERMINAL
from streams import logs, wiring
from streams.client.submitter import Submitter
from streams.settings import Settings

log = logs.get("audit")

#: Label and tenant of canary jobs, so that lists and quotas can leave them out.
LABELS = {"canary": "audit"}
TENANT = "canary"
#: Seconds between two looks at whether the job has ended.
TURN_S = 0.1
#: A canary that no worker takes expires, so that they do not pile up: after so many times its limit.
_EXPIRES = 10


class CanaryResult(NamedTuple):
    """`ms`: from the submit to the stored outcome; None while it has not ended. `late`: the limit is over."""

    job_id: str
    state: str
    ms: int | None
    late: bool


class Canary:
    """Submits one job at a time. `input_json`: the input of each. `limit_s`: seconds in which it has to end. For one thread."""

    def __init__(self, settings: Settings, processor: str, input_json: str, limit_s: float) -> None:
        contract(processor)  # raises UnknownProcessor with the nearest name
        self._settings = settings
        self._processor = processor
        self._input = _parsed(input_json)
        self._limit_s = limit_s
        self._submitted: tuple[str, float] | None = None

    def run(self, stop: threading.Event, on_wait: Callable[[], None]) -> CanaryResult | None:
        """Submit a job, unless the last one is still open; wait for its end, up to the limit. None if it was stopped.

        Logs `canary_late` each time that the limit is over. Raises SluiceError.
        """
        if self._submitted is None:
            until = datetime.now(UTC) + timedelta(seconds=max(60.0, _EXPIRES * self._limit_s))
            with Submitter(self._settings, source="sluice/audit") as submitter:
                begun = time.monotonic()
                made = submitter.submit(self._processor, self._input, tenant=TENANT, labels=LABELS, deadline=until)
            self._submitted = made.job_id, begun
        result = self._await(*self._submitted, stop, on_wait)
        if result is not None and result.ms is not None:
            self._submitted = None
        if result is not None and result.late:
            log.error("canary_late", job_id=result.job_id, processor=self._processor, state=result.state, ms=result.ms)
        return result

    def _await(
        self, job_id: str, begun: float, stop: threading.Event, on_wait: Callable[[], None]
    ) -> CanaryResult | None:
        with closing(wiring.job_store(self._settings)) as store:
            while not stop.is_set():
                on_wait()
                status, age_s = store.status(job_id), time.monotonic() - begun
                state = "not stored yet" if status is None else status.state
                if status is not None and status.state in TERMINAL:
                    return CanaryResult(job_id, state, round(age_s * 1000), age_s > self._limit_s)
                if age_s > self._limit_s:
                    return CanaryResult(job_id, state, None, True)
                stop.wait(TURN_S)
        return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError("The input of the canary job is not JSON.", next_step="Write --canary-input '{…}'.") from error
