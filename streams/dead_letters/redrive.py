"""Redrives dead letters: selects open ones, says what would become of each, and gives them to a replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from connectors.dead_letter_store import OPEN, DeadLetter, DeadLetterFilter, DeadLetterStore, LetterPlace
from connectors.replay_store import DEAD_LETTER, RUNNING, NewReplay, Replay, ReplaySource
from connectors.sink_store import LogPosition
from schemas.avsc import request_schema
from schemas.codec import Codec, Encoder
from schemas.contract import contract
from schemas.errors import Conflict, NotFound, SluiceError, Unreachable
from streams import wiring
from streams.dead_letters.details import GONE, LetterDetails, details_of
from streams.dead_letters.letter_reader import LetterReader
from streams.dead_letters.places import print_place
from streams.replay.start import ReplayOptions, new_replay
from streams.settings import Settings
from streams.timekeeper.redrive import Letter, Outgoing, Redriver

#: Dead letters that one redrive takes at most.
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter that a redrive would not publish, and why not."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parked:
    """The number of jobs that a replay would park, for one reason."""

    reason: str
    jobs: int


def open_letters(store: DeadLetterStore, wanted: DeadLetterFilter) -> list[DeadLetter]:
    """Return the open dead letters of a selection, one for each record that they came from, oldest first.

    Raises NotFound for a place without a dead letter, Conflict for one that is not open.
    """
    check_places(store, wanted)
    found = store.find(replace(wanted, states=[OPEN]), MOST)
    origins: dict[object, DeadLetter] = {}
    for one in found:  # a service that died may have dead-lettered a record twice
        origin = (one.origin_topic, one.origin_partition, one.origin_offset, one.job_id)
        origins.setdefault(origin if one.origin_topic and one.origin_offset >= 0 else one.place, one)
    return list(reversed(origins.values()))


def count_open(store: DeadLetterStore, wanted: DeadLetterFilter) -> int:
    """Return how many open dead letters a selection has."""
    return sum(group.letters for group in store.groups(replace(wanted, states=[OPEN])))


def described(wanted: DeadLetterFilter) -> dict[str, Any]:
    """Return a selection as the replay's row says it."""
    said: dict[str, Any] = {}
    for field in fields(wanted):
        value = getattr(wanted, field.name)
        if field.name == "places" and value is not None:
            said["places"] = [f"{place.partition}:{place.offset}" for place in value[:20]]
        elif value is not None:
            said[field.name] = value.isoformat() if isinstance(value, datetime) else value
    return said


def check_places(store: DeadLetterStore, wanted: DeadLetterFilter) -> None:
    """Check that each named place has an open dead letter. Raises NotFound, Conflict."""
    places: Sequence[LetterPlace] = wanted.places or ()
    if not places:
        return
    known = {
        one.place: one for one in reversed(store.find(DeadLetterFilter(places=places, tenant=wanted.tenant), MOST))
    }
    for place in places:
        found = known.get(place)
        if found is None:
            raise NotFound(
                f"There is no dead letter at {place.partition}:{place.offset}.",
                next_step="`sluice dlq list` shows them.",
            )
        if found.state != OPEN:
            raise Conflict(
                f"The dead letter {print_place(found)} is {found.state} already.",
                next_step="Replay its job instead: `sluice replay`." if found.job_known else "See `sluice dlq show`.",
            )


def redrive_of(settings: Settings, selection: dict[str, Any], options: ReplayOptions) -> NewReplay:
    """Return the replay that redrives a selection of dead letters. Raises UsageError, InvalidInput."""
    return new_replay(settings, {"dead_letters": selection}, options)


def sources(letters: Sequence[DeadLetter]) -> list[ReplaySource]:
    """Return the rows of a replay that redrives these dead letters."""
    return [
        ReplaySource(
            DEAD_LETTER,
            one.job_id if one.job_known else None,
            one.run if one.job_known else None,
            LogPosition(UUID(one.topic_id).bytes, one.partition, one.offset),
        )
        for one in letters
    ]


class RedrivePlanner:
    """Says what a redrive does with each dead letter. A context manager; for one thread. Changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = ExitStack()
        self.codec = Codec(self._open.enter_context(wiring.open_registry(settings)))
        self._reader = self._open.enter_context(LetterReader(settings))
        self._replays = self._open.enter_context(wiring.replay_store(settings))
        self._encoders: dict[str, Encoder] = {}
        self._redriver = Redriver(self.codec, settings.topics, self._encoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def refusals(self, letters: Sequence[DeadLetter], new: NewReplay) -> Iterator[Refusal | None]:
        """Yield for each dead letter why its record can't be published; None if it can. Raises Unreachable."""
        for one, letter in self._reader.read(letters):
            try:
                self._outgoing(one, letter, new, (one.run or 0) + 1 if one.job_known else None)
            except Unreachable:
                raise
            except SluiceError as error:
                yield Refusal(print_place(one), str(error))
            else:
                yield None

    def details(self, one: DeadLetter, new: NewReplay) -> LetterDetails:
        """Explain one dead letter. Raises Unreachable."""
        [(_, letter)] = self._reader.read([one])
        possible, does = True, ""
        try:
            if one.state != OPEN:
                possible, does = False, f"It is {one.state} already."
            else:
                does = _said(self._outgoing(one, letter, new, self._next_run(one, new)))
        except Unreachable:
            raise
        except SluiceError as error:
            possible, does = False, f"A redrive would fail: {error}"
        return details_of(self.codec, one, letter, possible, does)

    def parked(self, letters: Sequence[DeadLetter], new: NewReplay) -> list[Parked]:
        """Return how many of the jobs would be parked, by reason."""
        groups = self._replays.preview(new, sources(letters)) if letters else []
        counts: dict[str, int] = {}
        for group in groups:
            if group.parked is not None:
                counts[group.parked] = counts.get(group.parked, 0) + group.jobs
        return [Parked(reason, count) for reason, count in sorted(counts.items())]

    def _next_run(self, one: DeadLetter, new: NewReplay) -> int | None:
        """Return the number of the job's next run; None if the store does not know the job. Raises Conflict."""
        if not one.job_known:
            return None
        for parked in self.parked([one], new):
            raise Conflict(parked.reason)
        [row] = self._replays.sample(new, sources([one]), 1)
        return row.run

    def _outgoing(self, one: DeadLetter, letter: Letter | None, new: NewReplay, run: int | None) -> Outgoing:
        """Return the record that the timekeeper would publish. Raises SluiceError with the reason if it would publish none."""
        if letter is None:
            raise NotFound(GONE)
        job_id = one.job_id if one.job_known else None
        return self._redriver.outgoing(letter, _running(new), job_id, run, datetime.now(UTC))

    def _encoder(self, processor: str) -> Encoder:
        if processor not in self._encoders:
            subject = f"{self._settings.topics.requests(processor)}-value"
            self._encoders[processor] = self.codec.encoder(subject, request_schema(contract(processor)))
        return self._encoders[processor]


def _said(record: Outgoing) -> str:
    if record.run is None:
        return f"A redrive writes the record back to {record.topic}, as it was."
    return f"A redrive runs job {record.job_id} as run {record.run}, through {record.topic}."


def _running(new: NewReplay) -> Replay:
    """Return the replay as it would be once it runs."""
    now = datetime.now(UTC)
    return Replay(
        replay_id=new.replay_id,
        state=RUNNING,
        mode=new.mode,
        to_version=new.to_version,
        tenant=new.tenant,
        selection=new.selection,
        requested_by=new.requested_by,
        reason=new.reason,
        callbacks=new.callbacks,
        edit=new.edit,
        deadline_s=new.deadline_s,
        rate=new.rate,
        total=1,
        published=0,
        parked=0,
        failed=0,
        created_at=now,
        ended_at=None,
    )
