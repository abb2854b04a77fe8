"""Fills a snapshot: asks Postgres, Kafka, the registry and the services of this machine, each for some seconds at most.

Nothing that does not answer is an error here: the snapshot names it, and has what the others know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.payload_store import Payload
from connectors.views import RunState
from schemas.codec import Codec
from schemas.contract import contract
from schemas.envelope import header_of
from schemas.errors import SluiceError, Unreachable
from schemas.records import Coordinates, ErrorInfo, JobHeader
from schemas.states import Custody, Lane, State
from streams import wiring
from streams.explain.behind import is_finished
from streams.explain.log_place import find_place, members, sink_behind
from streams.explain.log_search import Found, search
from streams.explain.pace import WINDOW_S, measured
from streams.explain.services import seen_services
from streams.explain.snapshot import Dependency, JobSnapshot, Missing
from streams.health.ask import HealthAnswer, ask_all
from streams.log import kafka
from streams.settings import Settings
from streams.timekeeper.requests import RequestReader

#: Seconds that the services of this machine may take to answer.
HEALTH_S = 2.0
#: Seconds for one read of a record.
READ_S = 3.0
#: A due run counts as overdue after so many seconds.
OVERDUE = timedelta(seconds=3)


def collect(settings: Settings, job_id: str, run: int | None = None) -> JobSnapshot:
    """Return everything that is known of a job now."""
    with ThreadPoolExecutor(2) as pool:
        answers = pool.submit(ask_all, settings.home, HEALTH_S)
        collector = Collector(settings, job_id, run)
        collector.ask_store()
        collector.ask_log()
        collector.decode()
        return collector.finish(answers)


class Collector:
    """Collects one snapshot; used by one thread."""

    def __init__(self, settings: Settings, job_id: str, run: int | None) -> None:
        self._settings = settings
        self._payload: Payload | None = None
        self._found = Found([], True)
        self.snapshot = JobSnapshot(job_id, datetime.now(UTC), run)

    def _note(self, **changes: Any) -> None:
        self.snapshot = replace(self.snapshot, **changes)

    @contextmanager
    def _from(self, source: Dependency) -> Iterator[None]:
        """Run a block that asks a source; where it does not answer, note so and go on."""
        try:
            yield
        except SluiceError as error:
            self._note(missing=(*self.snapshot.missing, Missing(source, error.message)))

    # ── Postgres ──

    def ask_store(self) -> None:
        with self._from(Dependency.POSTGRES):
            snapshot, settings = self.snapshot, self._settings
            with wiring.job_store(settings) as jobs:
                view = jobs.job(snapshot.job_id, snapshot.run)
                current = None if snapshot.run is None else jobs.status(snapshot.job_id)
                backlog = jobs.backlog(datetime.now(UTC) - timedelta(seconds=WINDOW_S))
            self._note(view=view, now=backlog.at)
            if view is not None and current is not None and current.run > view.run:
                self._note(later_run=RunState(view.job_id, current.run, current.processor, current.state))
            with wiring.payload_store(settings) as payloads:
                number = view.run if view is not None else snapshot.run or 0
                self._payload = payloads.payload(snapshot.job_id, number)
            processor = view.processor if view is not None else self._payload.processor if self._payload else None
            self._note(accepted=self._payload is not None, processor=processor)
            if processor is None:
                return
            with wiring.command_store(settings) as commands:
                [command] = commands.processors([processor])
            self._note(command=command, pace=measured(backlog, processor, None, command.paused))
            if view is not None:
                self._ask_about_run()

    def _ask_about_run(self) -> None:
        view, settings = self.snapshot.view, self._settings
        assert view is not None
        if State(view.state).terminal:
            with wiring.delivery_admin(settings) as deliveries:
                pending = any(each.state == "pending" for each in view.deliveries)
                self._note(destinations=deliveries.destinations(view.tenant) if pending else ())
            return
        with closing(wiring.lease_store(settings)) as leases:
            self._note(lease=leases.find(view.job_id, view.run))
        with closing(wiring.due_store(settings)) as due:
            self._note(overdue=due.overdue(OVERDUE))

    # ── Kafka ──

    def ask_log(self) -> None:
        with self._from(Dependency.KAFKA):
            view = self.snapshot.view
            if view is None:
                self._search(self._settings.served_processors)
            if self.snapshot.processor is None:
                return
            self._note(custody=self._custody(self.snapshot.processor))
            if view is None or not State(view.state).terminal:
                self._ask_group()
                if view is not None and is_finished(self.snapshot):
                    self._search([view.processor], view.requested_at)
                self._ask_sink()

    def _custody(self, processor: str) -> Custody:
        if self.snapshot.lease is not None:
            return Custody.LEASE
        try:
            return self._settings.custody(contract(processor))
        except SluiceError:  # it is not installed here
            return Custody.OFFSET

    def _search(self, processors: Sequence[str], made_at: datetime | None = None) -> None:
        self._found = search(self._settings, self.snapshot.job_id, processors, made_at)
        run = self.snapshot.run
        events = [each for each in self._found.events if run in (None, each.run)]
        self._note(found=events, searched=self._found.complete)
        if self.snapshot.processor is None and events:
            names = self._settings.topics
            found = (names.processor_of(each.coordinates.topic) for each in events)
            self._note(processor=next((name for name in found if name is not None), None))

    def _ask_group(self) -> None:
        processor, request = self.snapshot.processor, self._request()
        if self.snapshot.custody is Custody.LEASE:
            return
        group = f"{self._settings.topic_prefix}workers.{processor}"
        self._note(workers=members(kafka.admin(self._settings), group, request), members_known=True)
        if request is not None:
            with closing(kafka.consumer(self._settings, group, **kafka.OUTSIDE)) as consumer:
                self._note(place=find_place(consumer, request))

    def _request(self) -> Coordinates | None:
        """Return the newest request of the run: a retry's, or one that was released, is later than the first."""
        view = self.snapshot.view
        if view is None:
            requests = [each for each in self.snapshot.found if each.kind == "request"]
            return requests[-1].coordinates if requests else None
        requests_of = [each for each in view.history if each.kind == "request" and each.run == view.run]
        return max(requests_of, key=lambda each: (each.attempt, each.at)).coordinates if requests_of else view.request

    def _ask_sink(self) -> None:
        names, processor = self._settings.topics, self.snapshot.processor or ""
        topics = [names.results(processor), *(names.requests(processor, lane) for lane in Lane)]
        with closing(kafka.consumer(self._settings, f"{self._settings.topic_prefix}sink", **kafka.OUTSIDE)) as consumer:
            self._note(sink_behind=sink_behind(consumer, topics))

    # ── the request's header, and the last attempt's error ──

    def decode(self) -> None:
        """Decode what the store does not keep."""
        values = [self._payload.value] if self._payload is not None else []
        if self._found.request is not None:
            values.append(self._found.request.value() or b"")
        error_at: Coordinates | None = None
        with self._from(Dependency.KAFKA):
            if not self.snapshot.lacks(Dependency.KAFKA):
                request, error_at = self._request(), self._last_retry()
                wanted = [each for each in (None if values else request, error_at) if each is not None]
                read = self._read(wanted)
                values += [read[request]] if request in read and not values else []
                error = read.get(error_at) if error_at is not None else None
        if not values:
            return
        with self._from(Dependency.REGISTRY), wiring.open_registry(self._settings) as registry:
            codec = Codec(registry)
            self._note(header=_header(codec, values[-1], self.snapshot.job_id))
            if error_at is not None and error:
                self._note(last_error=_error(codec, error))

    def _last_retry(self) -> Coordinates | None:
        view = self.snapshot.view
        if view is None or State(view.state).terminal:
            return None
        retries = [each for each in view.history if each.kind == "retry" and each.run == view.run]
        return max(retries, key=lambda each: each.attempt).coordinates if retries else None

    def _read(self, wanted: Sequence[Coordinates]) -> dict[Coordinates, bytes]:
        """Return the values of these records; those that left the log are left out."""
        if not wanted:
            return {}
        with closing(RequestReader(self._settings, lambda: None, timeout_s=READ_S)) as reader:
            found = reader.read(wanted).found
        return {where: message.value() or b"" for where, message in found.items() if message is not None}

    # ── services ──

    def finish(self, answers: Future[list[HealthAnswer]]) -> JobSnapshot:
        """Return the snapshot, with what the services say of themselves."""
        snapshot, settings = self.snapshot, self._settings
        services = seen_services(answers.result(), snapshot.processor, snapshot.workers)
        rollout = settings.rollouts.get(snapshot.processor or "")
        reported = next((each.versions for each in services.workers if each.versions), {})
        pace = snapshot.pace
        if pace is not None:
            count = len(services.workers) if snapshot.members_known or services.workers else None
            pace = replace(pace, workers=count)
        return replace(
            snapshot,
            workers=services.workers,
            timekeepers=services.timekeepers,
            sinks=services.sinks,
            shares=reported or ({} if rollout is None else rollout.shares),
            pace=pace,
        )


def _header(codec: Codec, value: bytes, job_id: str) -> JobHeader | None:
    """Return the header of a request; None for bytes that are no request of this job. Raises Unreachable."""
    try:
        header = header_of(codec.decode(value))
    except Unreachable:
        raise
    except SluiceError:
        return None
    return header if header.job_id == job_id else None


def _error(codec: Codec, value: bytes) -> ErrorInfo | None:
    try:
        error = codec.decode(value)["result"]["error"]
        return ErrorInfo(str(error["code"]), str(error["message"]))
    except Unreachable:
        raise
    except (SluiceError, KeyError, TypeError):
        return None
