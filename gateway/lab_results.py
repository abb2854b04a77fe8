"""Takes results and progress of lab machines, which it does not trust: each must belong to a lease that the machine holds.

A record is checked against the lease and the request, as the gateway knows them. Keys and headers are made here. So a machine
can neither publish for a job that it does not hold, nor change whose job it is or where its callback goes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from connectors.lease_store import Hold, LeaseStore, LeaseView
from connectors.objects import ObjectStore
from gateway.lab_memos import LabMemos
from gateway.lab_request import LabRequest
from gateway.lab_uploads import LeaseUploads
from gateway.problems import Problem
from schemas import headers
from schemas.avsc import result_schema, self_contained
from schemas.codec import Codec
from schemas.contract import contract
from schemas.envelope import result_of
from schemas.errors import InvalidInput, PayloadTooLarge, UndecodableRecord
from schemas.plain import from_plain
from schemas.records import Coordinates, JobHeader, Progress, ResultInfo
from schemas.states import Disposition
from schemas.topics import LONGEST_WAIT
from streams.log import kafka
from streams.log.confirmed_producer import ConfirmedProducer
from streams.log.port import LogProducer
from streams.settings import Settings
from streams.sink.topic_table import parse_topic_id

#: Seconds that Kafka may take to confirm a result. The worker hands it in again afterwards.
CONFIRM_S = 20.0
#: Bytes of a request's key that are copied to its result. Ids are far shorter.
LONGEST_KEY = 1000
#: Seconds for which the lease is renewed meanwhile.
HOLD_S = 60.0
#: Restarts of a job's process that a worker may report beyond those that the lease knows of.
MOST_RESTARTS = 1000


class HandIn(NamedTuple):
    """A result as a worker hands it in. `owner`: the worker, as the lease names it. `value`: the encoded result;
    `dead_reason`: of the dead letter that goes with it, "" if there is none."""

    hold: Hold
    owner: str
    worker_id: str
    value: bytes
    dead_reason: str
    dead_message: str


class Outgoing(NamedTuple):
    topic: str
    value: bytes
    key: bytes | None
    headers: list[headers.Header]


class LabResults:
    """Blocking; used by several threads, each with a lease store of its own."""

    def __init__(self, settings: Settings, codec: Codec, producer: LogProducer, objects: ObjectStore) -> None:
        self._settings = settings
        self._names = settings.topics
        self._codec = codec
        self._producer = producer
        self._objects = objects

    def hand_in(self, store: LeaseStore, given: HandIn) -> bool:
        """Publish a result, confirmed, and settle its lease. Return False if the run has ended meanwhile.

        Raises Problem 409 if another worker has the job, InvalidInput for a result that does not belong to the lease,
        PayloadTooLarge, Unreachable. Handing in again is harmless.
        """
        hold = given.hold
        lease = store.find(hold.job_id, hold.run)
        if lease is None:
            return False
        if lease.worker != given.owner or lease.fence != hold.fence or lease.state not in ("held", "settled"):
            _lost()
        if lease.state == "settled":  # the answer to the first time got lost
            return True
        if not _execution_of(lease, hold.execution):
            raise InvalidInput("The execution is not one of this lease.")
        records, claimed = self._checked(lease, given)
        uploads = LeaseUploads(self._objects, hold.job_id, hold.run)
        uploads.check(claimed)
        if hold.key not in store.heartbeat(given.owner, [hold], HOLD_S).renewed:
            _lost()
        confirmed = ConfirmedProducer(self._producer, "result", CONFIRM_S)
        failed: list[Any] = []
        for record in records:
            confirmed.produce(record.topic, record.value, record.key, record.headers, on_failed=failed.append)
        confirmed.flush()
        if failed and kafka.refused(failed[0]):
            raise PayloadTooLarge("Kafka refused the result because it is too large.")
        if failed:
            raise kafka.translate(failed[0], "publishing a result")
        store.settle(hold.job_id, hold.run, hold.fence)
        uploads.forget(claimed)
        return True

    def progress(self, store: LeaseStore, owner: str, worker_id: str, value: bytes) -> bool:
        """Publish a progress record, unconfirmed; return False for one that no lease of this worker allows.

        Raises InvalidInput for one that can't be used, Unreachable.
        """
        schema = self_contained("Progress")
        reader = self._codec.encoder(f"{self._names.progress}-value", schema).parsed
        try:
            record = from_plain(Progress, self._codec.decode(value, reader))
        except (UndecodableRecord, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"The progress can't be used: {type(error).__name__}.") from error
        if not _is_uuid(record.job_id):
            raise InvalidInput("The job id of the progress is not a UUID in canonical form.")
        lease = store.find(record.job_id, record.run)
        if lease is None or lease.worker != owner or lease.state != "held":
            return False
        named = (record.attempt, record.processor, record.worker_id)
        if named != (lease.attempt, lease.processor, worker_id) or not _execution_of(lease, record.execution):
            return False
        marks = [(name, text) for name, text in lease.headers if name == headers.MODE]
        self._producer.produce(self._names.progress, value, record.job_id.encode(), headers=marks)
        self._producer.poll(0)
        return True

    # ── checks ──

    def _checked(self, lease: LeaseView, given: HandIn) -> tuple[list[Outgoing], set[tuple[str, str, int]]]:
        """Return the records to publish, and the files that the result claims besides those of the input."""
        if not given.value:  # a dead letter alone ends no job, and its settled lease would never expire
            raise InvalidInput(
                "There is no result.", next_step="Hand in a failed result, with the dead letter if need be."
            )
        result, claimed = self._result(lease, given)
        return [result, *([self._dead_letter(lease, given)] if given.dead_reason else [])], claimed

    def _result(self, lease: LeaseView, given: HandIn) -> tuple[Outgoing, set[tuple[str, str, int]]]:
        made, topic = contract(lease.processor), self._names.results(lease.processor)
        reader = self._codec.encoder(f"{topic}-value", result_schema(made)).parsed
        request = LabRequest(lease, self._codec)
        try:
            plain = self._codec.decode(given.value, reader)
            result = result_of(made, plain)
        except UndecodableRecord as error:
            raise InvalidInput(f"The result can't be decoded as one of {lease.processor!r}.") from error
        info, header = result.result, result.header
        bare = info.disposition == Disposition.FAILED and header == _bare(header, lease, given.hold)
        if not bare and header != request.header:
            raise InvalidInput("The result's header is not that of the job's request.")
        if (info.execution, info.worker_id) != (given.hold.execution, given.worker_id):
            raise InvalidInput("The result names another execution or another worker than its lease.")
        if not _same_place(info, lease.coordinates):
            raise InvalidInput("The result names another request than its lease.")
        if not 0 <= (info.retry_in_ms or 0) <= LONGEST_WAIT // timedelta(milliseconds=1):
            raise InvalidInput(f"A retry waits for {LONGEST_WAIT.days} days at most.")
        claimed = request.uploads_in({"output": plain["output"], "refs": plain["result"]["output_refs"]})
        if info.reused_from is not None:
            claimed -= LabMemos(self._settings, self._codec, self._objects, lease).reused(info)
        source = f"sluice/worker/{given.worker_id}"
        own = headers.result_headers(header, info.disposition, info.execution, source=source)
        copied = [(name, text) for name, text in lease.headers if name in (headers.TRACEPARENT, headers.MODE)]
        key = lease.key if len(lease.key) <= LONGEST_KEY else given.hold.job_id.encode()
        return Outgoing(topic, given.value, key, [*own, *copied]), claimed

    def _dead_letter(self, lease: LeaseView, given: HandIn) -> Outgoing:
        place = lease.coordinates or Coordinates(self._names.requests(lease.processor, lease.lane), 0, -1)
        own = headers.dead_letter_headers(
            reason=given.dead_reason,
            message=given.dead_message,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            attempts=given.hold.execution,
            worker=given.worker_id,
        )
        return Outgoing(self._names.dead_letters, lease.value, lease.key, [*lease.headers, *own.items()])


def _execution_of(lease: LeaseView, execution: int) -> bool:
    return lease.execution <= execution <= lease.execution + MOST_RESTARTS


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _bare(header: JobHeader, lease: LeaseView, hold: Hold) -> JobHeader:
    """Return the header of a result for a request that can't be decoded: nothing but what its Kafka headers say."""
    mode = headers.mode_of(dict(lease.headers).get(headers.MODE))
    return JobHeader(
        hold.job_id, lease.processor, header.created_at, "", run=hold.run, attempt=lease.attempt, mode=mode
    )


def _same_place(info: ResultInfo, wanted: Coordinates | None) -> bool:
    found = info.request_coordinates
    if found is None or wanted is None:
        return (found is None or found.offset < 0) and wanted is None
    same_topic = parse_topic_id(found.topic_id) == parse_topic_id(wanted.topic_id)
    return same_topic and (found.partition, found.offset) == (wanted.partition, wanted.offset)


def _lost() -> NoReturn:
    raise Problem(
        409,
        "LEASE_LOST",
        "This worker does not hold the job any more.",
        next_step="Discard the result: the job runs elsewhere, or has ended.",
    )
