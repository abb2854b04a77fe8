"""Who is given to the child when, after a worker died."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from confluent_kafka import Message

from streams.worker.in_flight import Assignment, InFlightJob, InFlightJobs
from streams.worker.kafka_source.offsets import OffsetRun, Snapshot
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.protocol import Flag


class Scene:
    """A partition whose last owner left `before`, its handover, and what came of both, in order."""

    def __init__(self, before: Snapshot | None = None, careful_until: int = 0) -> None:
        self.ledger = InFlightJobs(100)
        self.happened: list[object] = []
        self.kafka_takes_it = True
        self.handover = Quarantine(self.ledger, self._send)
        self.owned = Assignment("requests.echo", 0, 0, before)
        self.owned.careful_until = careful_until
        self.owned.commit_first = self._commit
        self.sent: dict[int, InFlightJob] = {}
        self.handover.watch(self.owned)

    def arrive(self, *offsets: int) -> None:
        arrivals = [(Message(topic="requests.echo", partition=0, offset=o, value=b"x"), self.owned) for o in offsets]
        self.handover.give(self.ledger.admit(arrivals, 7))

    def finish(self, offset: int) -> None:
        held = self.sent[offset]
        assert self.ledger.answered(held.slot, 1) is held
        self.ledger.confirmed([held])

    def _commit(self, owned: Sequence[Assignment]) -> bool:
        assert owned == [self.owned]
        self.happened.append("commit")
        return self.kafka_takes_it

    def _send(self, jobs: Iterable[InFlightJob]) -> None:
        offsets = []
        for held in jobs:
            offsets.append(held.message.offset())
            self.sent[offsets[-1]] = held
        self.happened.append(offsets)


def left(crashes: int, start: int = 0, stop: int = 1) -> Snapshot:
    return Snapshot(start, stop, (OffsetRun(start, stop, crashes),))


def test_usually_jobs_go_to_the_child_at_once_and_nothing_is_committed_for_them() -> None:
    scene = Scene(Snapshot(5, 5))
    scene.arrive(5, 6)
    assert scene.happened == [[5, 6]]


def test_after_an_unclean_stop_jobs_are_committed_before_they_begin_until_what_was_in_flight_is_through() -> None:
    scene = Scene(left(1, stop=2), careful_until=2)
    scene.arrive(0, 1)
    assert scene.happened == ["commit", [0, 1]]
    assert [scene.sent[offset].execution for offset in (0, 1)] == [2, 2]
    scene.arrive(2)
    scene.finish(0)
    scene.finish(1)
    scene.arrive(3)
    scene.arrive(4)
    assert scene.happened[2:] == ["commit", [2], "commit", [3], [4]]


def test_what_kafka_does_not_take_is_not_begun() -> None:
    scene = Scene(left(1), careful_until=1)
    scene.kafka_takes_it = False
    scene.arrive(0)
    assert scene.happened == ["commit"]
    assert scene.owned.tracker.snapshot() == left(1)
    assert scene.ledger.unanswered() == []
    scene.kafka_takes_it = True
    while scene.handover.step(0.05):
        pass  # it waits by itself before it asks Kafka again
    assert scene.happened == ["commit", "commit", [0]]


def test_those_with_two_unclean_ends_run_alone_one_at_a_time_and_the_innocent_wait() -> None:
    scene = Scene(left(2, stop=2), careful_until=2)
    scene.arrive(0, 1, 2)
    assert scene.happened == ["commit", [0]]
    assert scene.sent[0].flags == Flag.ISOLATED
    assert scene.owned.tracker.snapshot() == Snapshot(
        0, 3, (OffsetRun(0, 1, 2, True), OffsetRun(1, 2, 2, False), OffsetRun(2, 3, 0, False))
    )
    assert scene.handover.step(0.0)
    scene.finish(0)
    assert scene.handover.step(0.0)
    assert scene.happened[2:] == ["commit", [1]]
    scene.finish(1)
    assert not scene.handover.step(0.0)
    assert scene.happened[4:] == [[2]] or scene.happened[4:] == ["commit", [2]]
    assert scene.sent[2].flags == 0


def test_a_suspect_waits_until_the_child_has_nothing_left() -> None:
    scene = Scene(Snapshot(0, 8, (OffsetRun(6, 8, 2),)), careful_until=0)
    other = Assignment("requests.echo", 1, 0)
    (held,) = scene.ledger.admit([(Message(topic="requests.echo", partition=1, offset=0, value=b"x"), other)], 7)
    scene.owned.careful_until = 8
    scene.handover.watch(scene.owned)
    scene.arrive(6)
    assert scene.happened == []
    scene.ledger.answered(held.slot, 1)
    assert scene.handover.step(0.0)
    scene.ledger.confirmed([held])
    assert not scene.handover.step(0.0)
    assert scene.happened == ["commit", [6]]


@pytest.mark.parametrize(("crashes", "flags"), [(3, Flag.REJECTED | Flag.ISOLATED), (4, 7)])
def test_one_that_has_had_its_executions_is_not_run_again(crashes: int, flags: int) -> None:
    scene = Scene(left(crashes), careful_until=1)
    scene.arrive(0)
    held = scene.sent[0]
    assert (held.flags, held.error_code, held.execution) == (flags, b"WORKER_LOST", 3)


@pytest.mark.parametrize(("executions", "crashes", "alone"), [(2, 1, True), (5, 1, False), (5, 2, True), (5, 4, True)])
def test_the_last_execution_is_always_alone(executions: int, crashes: int, alone: bool) -> None:
    scene = Scene(left(crashes), careful_until=1)
    scene.handover.limit(executions)
    scene.arrive(0)
    assert scene.sent[0].flags == (Flag.ISOLATED if alone else 0)


def test_jobs_of_a_partition_that_was_given_back_are_not_given_to_the_child() -> None:
    scene = Scene(left(2, stop=2), careful_until=2)
    scene.arrive(0, 1)
    scene.handover.forget([scene.owned])
    scene.ledger.drop([scene.owned])
    scene.handover.step(0.0)
    assert scene.happened[:2] == ["commit", [0]]
    assert 1 not in scene.sent
