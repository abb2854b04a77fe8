"""Handles a batch of records: decides, publishes, waits for Kafka's confirmation, then keeps the joins' state.

A batch that fails is handled again as a whole. Only after `handle` has returned may its offsets be committed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from schemas.codec import DECODE_ERRORS, Codec, TypedCodec
from schemas.contract import contract
from schemas.envelope import result_of
from schemas.errors import SluiceError, UndecodableRecord, Unreachable
from schemas.records import Upload
from streams import logs
from streams.client.uploads import upload_codec
from streams.router.joins import DONE, CaseKey, Part, Piece, add, dump, load, part_of
from streams.router.publisher import Kept, ReadRecord, as_bug
from streams.router.routing import Made, NoJob, RoutedJob, Routing
from streams.settings import Settings

log = logs.get("router")

#: Key → entry of the joins' state; the router's table, or a dict.
State = MutableMapping[bytes, bytes]


class Publishes(Protocol):
    def submit(self, jobs: Sequence[RoutedJob]) -> list[SluiceError | None]: ...
    def publish(self, pieces: Sequence[Piece], dead: Sequence[tuple[ReadRecord, SluiceError]]) -> None: ...
    def keep(self, entries: Sequence[Kept]) -> None: ...


@dataclass(slots=True)
class _Decided:
    """The jobs and records that follow from one batch. `causes`: the record of each job."""

    jobs: list[Made] = field(default_factory=list)
    causes: list[ReadRecord] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    dead: list[tuple[ReadRecord, SluiceError]] = field(default_factory=list)
    kept: dict[bytes, Kept] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add_jobs(self, record: ReadRecord, jobs: Sequence[Made]) -> None:
        self.jobs += jobs
        self.causes += [record] * len(jobs)


class Handler:
    """`state` is read and changed here only. `counts` are totals since the start, for the status."""

    def __init__(
        self,
        settings: Settings,
        routing: Routing,
        publisher: Publishes,
        state: State,
        codec: Codec,
        clock: Callable[[], float] = time.time,
    ) -> None:
        names = self._names = settings.topics
        self._routing = routing
        self._publisher = publisher
        self._state = state
        self._codec = codec
        self._clock = clock
        self._open_uploads = partial(upload_codec, codec, settings)
        self._uploads: TypedCodec[Upload] | None = None
        self._contracts = {names.outcomes(name): contract(name) for name in routing.rules.processors}
        self.counts: Counter[str] = Counter()
        #: Cases that have some of a rule's parts, and not yet all.
        self.waiting: set[CaseKey] = set()

    def handle(self, records: Sequence[ReadRecord]) -> None:
        """Handle records, in the order of each partition. Raises Unreachable: nothing is kept then; call again."""
        batch = _Decided()
        for record in records:
            try:
                self._read(record, batch)
            except Unreachable:
                raise
            except UndecodableRecord as error:
                batch.dead.append((record, error))
            except Exception as error:  # noqa: BLE001 - a bug in one record must not keep the router from the next
                batch.dead.append((record, as_bug(error)))
        batch.counts["unusable"] += len(batch.dead)
        self._publish(batch)
        for kept in batch.kept.values():
            assert kept.value is not None
            self._state[kept.key] = kept.value
            self._note(case_of(kept.key))
        self.counts += batch.counts

    def recount(self, owned: Callable[[int], bool]) -> None:
        """Forget the entries of partitions that another router has now, and find the waiting cases again."""
        for key, value in list(self._state.items()):
            if not owned(load(value)["p"]):
                del self._state[key]
        self.waiting.clear()
        for case in {case_of(key) for key in self._state}:
            self._note(case)

    def expired(self, owned: Callable[[int], bool]) -> list[Kept]:
        """Return the entries of owned partitions that are older than their rule keeps them, as deletions."""
        now = self._clock()
        return [
            Kept(key, None, entry["p"])
            for key, value in list(self._state.items())
            if owned((entry := load(value))["p"]) and now - entry["at"] > self._routing.keep_s(case_of(key).rule)
        ]

    def forget(self, entries: Sequence[Kept]) -> None:
        """Delete entries, first in the log. Raises Unreachable."""
        self._publisher.keep(entries)
        for entry in entries:
            self._state.pop(entry.key, None)
            self.waiting.discard(case_of(entry.key))

    # ── one record ──

    def _read(self, record: ReadRecord, batch: _Decided) -> None:
        if record.value is None:  # a tombstone of a compacted topic
            return
        if record.topic == self._names.join_parts:
            self._read_piece(record, Piece.decode(record.value), batch)
        elif record.topic == self._names.uploads:
            self._read_upload(record, record.value, batch)
        else:
            result = result_of(self._contracts[record.topic], self._codec.decode(record.value))
            batch.counts["outcomes"] += 1
            batch.pieces += self._routing.pieces_of_outcome(result)

    def _read_upload(self, record: ReadRecord, value: bytes, batch: _Decided) -> None:
        upload = self._decode_upload(value)
        batch.counts["uploads"] += 1
        jobs = self._routing.jobs_of_upload(upload)
        pieces = self._routing.pieces_of_upload(upload)
        batch.counts["uploads_routed"] += bool(jobs or pieces)
        batch.add_jobs(record, jobs)
        batch.pieces += pieces

    def _decode_upload(self, value: bytes) -> Upload:
        if self._uploads is None:
            try:
                self._uploads = self._open_uploads()
            except UndecodableRecord as error:  # this version's schema is not registered yet; the record may be fine
                raise Unreachable(error.message, next_step=error.next_step) from error
        try:
            return self._uploads.decode(value)
        except DECODE_ERRORS as error:
            raise UndecodableRecord(f"The record is no upload: {type(error).__name__}.") from error

    def _read_piece(self, record: ReadRecord, piece: Piece, batch: _Decided) -> None:
        rule = self._routing.joins.get(piece.case.rule)
        if rule is None:
            batch.counts["parts_without_rule"] += 1
            return

        def entry(source: str) -> Any:
            key = piece.case.of(source)
            kept = batch.kept.get(key)
            value = self._state.get(key) if kept is None else kept.value
            return None if value is None else load(value)

        def known(source: str) -> Part | None:
            found = entry(source)
            return None if found is None else part_of(found["part"])

        def keep(source: str, **content: Any) -> None:
            key = piece.case.of(source)
            value = dump({"p": record.partition, "at": self._clock(), **content})
            batch.kept[key] = Kept(key, value, record.partition)

        done = entry(DONE)
        step = add(piece, list(rule.of), known, None if done is None else done["key"])
        if step.joined is not None:
            batch.add_jobs(record, self._routing.jobs_of_join(piece.case, step.joined))
            batch.counts["joins"] += 1
        if step.part is not None:
            part = step.part
            keep(piece.source, part={"id": part.id, "order": list(part.order), "values": part.values})
        if step.joined is not None:
            keep(DONE, key=step.joined.key)

    # ── the whole batch ──

    def _publish(self, batch: _Decided) -> None:
        """Publish jobs, then the rest, and last the state that says they are published. Raises Unreachable."""
        asked = [
            (job, cause) for job, cause in zip(batch.jobs, batch.causes, strict=True) if isinstance(job, RoutedJob)
        ]
        answers = self._publisher.submit([job for job, _ in asked]) if asked else []
        refused = list(_refused(batch, zip(asked, answers, strict=True)))
        batch.counts["jobs"] += len(asked) - sum(answer is not None for answer in answers)
        batch.counts["refused"] += len(refused)
        dead = [*batch.dead, *((cause, error) for _, cause, error in refused)]
        if batch.pieces or dead:
            self._publisher.publish(batch.pieces, dead)
        if batch.kept:
            self._publisher.keep(list(batch.kept.values()))
        for rule, cause, error in refused:
            _log("routing_refused", cause, error, rule=rule)
        for cause, error in batch.dead:
            _log("record_dead_lettered", cause, error)

    def _note(self, case: CaseKey) -> None:
        rule = self._routing.joins.get(case.rule)
        if rule is None or all(case.of(source) in self._state for source in rule.of):
            self.waiting.discard(case)
        else:
            self.waiting.add(case)


def _refused(batch: _Decided, asked: Any) -> Iterator[tuple[str, ReadRecord, SluiceError]]:
    """Yield rule, record and reason of each job that was not made or not accepted."""
    for job, cause in zip(batch.jobs, batch.causes, strict=True):
        if isinstance(job, NoJob):
            yield job.rule, cause, job.error
    for (job, cause), error in asked:
        if error is not None:
            yield job.rule, cause, error


def _log(event: str, record: ReadRecord, error: SluiceError, **more: str) -> None:
    """Log without the error's text, which may quote a patient's value; the dead letter has it."""
    log.warning(
        event, topic=record.topic, partition=record.partition, offset=record.offset, code=str(error.code), **more
    )


def case_of(key: bytes) -> CaseKey:
    """Return the case of a key of the joins' state."""
    tenant, case_id, rule, _ = json.loads(key)
    return CaseKey(tenant, case_id, rule)
