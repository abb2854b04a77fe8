"""Publishes accepted requests that never reached the log. Publishing twice is safe: the ids are the same."""

from __future__ import annotations

from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

BATCH = 500


class Unsent:
    """Publishes requests that the sink has not read from the log in time."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        payloads = self._context.store.unsent(BATCH)
        if payloads:
            names, publisher = self._context.settings.topics, self._context.publisher
            for payload in payloads:
                topic = names.requests(payload.processor, payload.lane)
                headers = {name: text.encode() for name, text in payload.headers}
                publisher.put(topic, payload.key, payload.value, headers)
            publisher.flush()
            log.info("job_republished", count=len(payloads))
        return bool(payloads)
