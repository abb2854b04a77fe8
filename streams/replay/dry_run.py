"""Says what a replay would do: how many jobs, of which errors, how large, how long, and whether their requests decode."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.replay_store import Chosen, NewReplay, ReplayGroup, ReplayJob, ReplayStore
from schemas.avsc import request_schema
from schemas.codec import Codec, Encoder
from schemas.contract import contract
from schemas.errors import SluiceError, UndecodableRecord, Unreachable
from streams import wiring
from streams.settings import Settings
from streams.timekeeper.replayed import replayed_request
from streams.timekeeper.replays import GONE, UNDECODABLE, UNREADABLE, coordinates_of
from streams.timekeeper.requests import RequestReader

#: Requests that are read and checked, drawn from the whole selection.
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class RefusedRequests:
    """Requests of the sample that would fail, for one reason."""

    reason: str
    jobs: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """`groups`: all jobs of the selection, counted exactly. `checked`: requests that were read, encoded as the replay would,
    and counted; `bytes` is estimated from them. `device_s`: by the time that the jobs' last runs took on the device; None if no
    run has one."""

    groups: list[ReplayGroup]
    checked: int
    refused: list[RefusedRequests]
    bytes: int
    device_s: float | None

    @property
    def jobs(self) -> int:
        """Number of jobs that would be published."""
        return sum(group.jobs for group in self.groups if group.parked is None)

    @property
    def would_fail(self) -> int:
        """Number of them that would fail; estimated if only a sample was read."""
        bad = sum(one.jobs for one in self.refused)
        return round(self.jobs * bad / self.checked) if self.checked else 0

    @property
    def parked(self) -> int:
        return sum(group.jobs for group in self.groups if group.parked is not None)


def dry_run(settings: Settings, store: ReplayStore, new: NewReplay, chosen: Chosen) -> DryRun:
    """Count a selection and check a sample of its requests. Changes nothing. Raises Unreachable."""
    groups = store.preview(new, chosen)
    rows = store.sample(new, chosen, SAMPLE)
    timed = [(group.jobs, group.run_ms) for group in groups if group.parked is None and group.run_ms is not None]
    device_s = sum(jobs * run_ms for jobs, run_ms in timed) / 1000 if timed else None
    waiting = sum(group.jobs for group in groups if group.parked is None)
    with RequestChecker(settings, store, new) as checker:
        reasons, size = checker.check(rows)
    readable = len(rows) - sum(reasons.values())
    estimated = round(size * waiting / len(rows)) if readable else 0
    return DryRun(groups, len(rows), [RefusedRequests(*each) for each in reasons.most_common()], estimated, device_s)


class RequestChecker:
    """Makes the records that the timekeeper would publish, and publishes none. A context manager; for one thread."""

    def __init__(self, settings: Settings, store: ReplayStore, new: NewReplay) -> None:
        self._settings = settings
        self._store = store
        self._new = new
        self._open = ExitStack()
        self._codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self._reader = RequestReader(settings, lambda: None)
        self._open.callback(self._reader.close)
        self._encoders: dict[str, Encoder] = {}

    def __enter__(self) -> RequestChecker:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def check(self, rows: list[ReplayJob]) -> tuple[Counter[str], int]:
        """Return how many rows would fail, by reason, and the bytes of the others. Raises Unreachable."""
        reasons, size, left = Counter[str](), 0, rows
        while left:
            requests = self._reader.read({place for row in left if (place := coordinates_of(row)) is not None})
            for row in (row for row in left if not requests.is_left(coordinates_of(row))):
                place = coordinates_of(row)
                message = requests.get(place)
                value = None if message is None else message.value() or b""
                if value is None and place is None and row.job_id is not None and row.from_run is not None:
                    payload = self._store.payload(row.job_id, row.from_run)
                    value = None if payload is None else payload.value
                try:
                    size += self._size(row, value, UNREADABLE if place in requests.unread else GONE)
                except Unreachable:
                    raise
                except SluiceError as error:
                    reasons[str(error)] += 1
            left = [row for row in left if requests.is_left(coordinates_of(row))]
        return reasons, size

    def _size(self, row: ReplayJob, value: bytes | None, missing: str) -> int:
        """Return the size of the row's record. Raises SluiceError with the reason why it can't be made."""
        if value is None:
            raise UndecodableRecord(missing)
        try:
            plain = self._codec.decode(value)
        except UndecodableRecord as error:
            raise UndecodableRecord(UNDECODABLE) from error
        header = plain.get("header")
        if not isinstance(header, dict) or header.get("job_id") != row.job_id:
            raise UndecodableRecord(UNDECODABLE)
        processor = row.processor or str(header["processor"])
        new, at = self._new, datetime.now(UTC)
        _, encoded = replayed_request(
            plain, new, row.run or 1, at, coordinates_of(row), processor, self._encoder(processor)
        )
        return len(encoded)

    def _encoder(self, processor: str) -> Encoder:
        if processor not in self._encoders:
            subject = f"{self._settings.topics.requests(processor)}-value"
            self._encoders[processor] = self._codec.encoder(subject, request_schema(contract(processor)))
        return self._encoders[processor]
