"""Publishes accepted requests that never reached the log. Publishing twice is safe: the ids are the same.

A request that Kafka refuses for good can never be run: its job is ended by name.
"""

from __future__ import annotations

from confluent_kafka import KafkaError

from connectors.payload_store import Payload
from schemas.errors import ErrorCode
from streams import logs
from streams.log import kafka
from streams.timekeeper.duty import DutyContext, unlisted_run
from streams.timekeeper.ending import RunEnd

log = logs.get("timekeeper")

BATCH = 500
TOO_LARGE = "Kafka refuses its request ({code}), so it never reached the log."


class Unsent:
    """Publishes requests that the sink has not read from the log in time."""

    def __init__(self, context: DutyContext) -> None:
        self._context = context

    def run_once(self) -> bool:
        payloads = {(each.job_id, each.run): each for each in self._context.store.unsent(BATCH)}
        if payloads:
            names, publisher = self._context.settings.topics, self._context.publisher
            for key, payload in payloads.items():
                topic = names.requests(payload.processor, payload.lane)
                headers = {name: text.encode() for name, text in payload.headers}
                publisher.put(key, topic, payload.key, payload.value, headers)
            errors = publisher.flush()
            for key, error in errors.items():
                log.error("job_not_republished", run=key, code=error.name())
            refused = [(payloads[key], error) for key, error in errors.items() if kafka.refused(error)]
            self._context.ender.publish(self._end(payload, error) for payload, error in refused)
            log.info("job_republished", count=len(payloads) - len(errors))
        return bool(payloads)

    def _end(self, payload: Payload, error: KafkaError) -> RunEnd:
        due = unlisted_run(payload.job_id, payload.run, 1, "unsent", payload.processor)
        header = self._context.header_of_value(payload.value, due)
        return RunEnd(due, ErrorCode.PAYLOAD_TOO_LARGE, TOO_LARGE.format(code=error.name()), header)
