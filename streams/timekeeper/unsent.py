"""Accepted requests that never reached the log are sent again. Sending twice does no harm: the ids are the same."""

from __future__ import annotations

from streams import logs
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

BATCH = 500


class Unsent:
    """A duty."""

    def __init__(self, desk: DutyContext) -> None:
        self._desk = desk

    def turn(self) -> bool:
        payloads = self._desk.store.unsent(BATCH)
        if payloads:
            names = self._desk.settings.topics
            for payload in payloads:
                topic = names.requests(payload.processor, payload.lane)
                headers = {name: text.encode() for name, text in payload.headers}
                self._desk.outbox.put(topic, payload.key, payload.value, headers)
            self._desk.outbox.settle()
            log.info("job_republished", count=len(payloads))
        return bool(payloads)
