"""When jobs are sent to the child after a worker crashed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.kafka_source.offsets import OffsetSpan, Snapshot
from streams.worker.kafka_source.quarantine import Quarantine
from streams.worker.protocol import Flag
from tests.harness.jobs import admitted, done


class Scene:
    """A partition whose last owner left `before`, its quarantine, and the commits and sends of both, in order."""

    def __init__(self, before: Snapshot | None = None, recovery_until: int = 0, executions: int = 3) -> None:
        self.in_flight = InFlightJobs()
        self.happened: list[object] = []
        self.kafka_takes_it = True
        self.quarantine = Quarantine(self.in_flight, self._send, executions)
        self.assignment = Assignment("requests.echo", 0, 0, before, recovery_until, self._commit)
        self.sent: dict[int, InFlightJob] = {}
        self.quarantine.watch(self.assignment)

    def arrive(self, *offsets: int) -> None:
        self.quarantine.dispatch(admitted(self.in_flight, self.assignment, *offsets))

    def finish(self, offset: int) -> None:
        done(self.in_flight, self.sent[offset])

    def _commit(self, assignments: Sequence[Assignment]) -> bool:
        assert assignments == [self.assignment]
        self.happened.append("commit")
        return self.kafka_takes_it

    def _send(self, jobs: Iterable[InFlightJob]) -> None:
        offsets = []
        for job in jobs:
            offsets.append(job.offset)
            self.sent[job.offset] = job
        self.happened.append(offsets)


def left(crashes: int, start: int = 0, stop: int = 1) -> Snapshot:
    return Snapshot(start, stop, (OffsetSpan(start, stop, crashes),))


def test_usually_jobs_are_sent_at_once_without_a_commit() -> None:
    scene = Scene(Snapshot(5, 5))
    scene.arrive(5, 6)
    assert scene.happened == [[5, 6]]


def test_after_an_unclean_stop_jobs_are_committed_before_they_begin_until_the_recovery_is_over() -> None:
    scene = Scene(left(1, stop=2), recovery_until=2)
    scene.arrive(0, 1)
    assert scene.happened == ["commit", [0, 1]]
    assert [scene.sent[offset].execution for offset in (0, 1)] == [2, 2]
    scene.arrive(2)
    scene.finish(0)
    scene.finish(1)
    scene.arrive(3)
    scene.arrive(4)
    assert scene.happened[2:] == ["commit", [2], "commit", [3], [4]]


def test_a_job_whose_commit_fails_is_not_begun() -> None:
    scene = Scene(left(1), recovery_until=1)
    scene.kafka_takes_it = False
    scene.arrive(0)
    assert scene.happened == ["commit"]
    assert scene.assignment.tracker.snapshot() == left(1)
    assert scene.in_flight.with_child() == []
    scene.kafka_takes_it = True
    while scene.quarantine.dispatch_held(0.05):
        pass  # it waits by itself before it asks Kafka again
    assert scene.happened == ["commit", "commit", [0]]


def test_jobs_with_two_crashes_run_alone_one_at_a_time_and_others_wait() -> None:
    scene = Scene(left(2, stop=2), recovery_until=2)
    scene.arrive(0, 1, 2)
    assert scene.happened == ["commit", [0]]
    assert scene.sent[0].flags == Flag.ISOLATED
    assert scene.assignment.tracker.snapshot() == Snapshot(
        0, 3, (OffsetSpan(0, 1, 2, True), OffsetSpan(1, 2, 2, False), OffsetSpan(2, 3, 0, False))
    )
    assert scene.quarantine.dispatch_held(0.0)
    scene.finish(0)
    assert scene.quarantine.dispatch_held(0.0)
    assert scene.happened[2:] == ["commit", [1]]
    scene.finish(1)
    assert not scene.quarantine.dispatch_held(0.0)
    assert scene.happened[4:] == [[2]] or scene.happened[4:] == ["commit", [2]]
    assert scene.sent[2].flags == 0


def test_a_suspect_waits_until_the_child_has_nothing_left() -> None:
    scene = Scene(Snapshot(0, 8, (OffsetSpan(6, 8, 2),)), recovery_until=8)
    (job,) = admitted(scene.in_flight, Assignment("requests.echo", 1, 0), 0)
    scene.arrive(6)
    assert scene.happened == []
    scene.in_flight.answered(job.slot, 1)
    assert scene.quarantine.dispatch_held(0.0)
    scene.in_flight.confirmed([job])
    assert not scene.quarantine.dispatch_held(0.0)
    assert scene.happened == ["commit", [6]]


@pytest.mark.parametrize(("crashes", "flags"), [(3, Flag.REJECTED | Flag.ISOLATED), (4, 7)])
def test_a_job_that_has_used_its_executions_is_not_run_again(crashes: int, flags: int) -> None:
    scene = Scene(left(crashes), recovery_until=1)
    scene.arrive(0)
    job = scene.sent[0]
    assert (job.flags, job.error_code, job.execution) == (flags, b"WORKER_LOST", 3)


@pytest.mark.parametrize(("executions", "crashes", "alone"), [(2, 1, True), (5, 1, False), (5, 2, True), (5, 4, True)])
def test_the_last_execution_is_always_alone(executions: int, crashes: int, alone: bool) -> None:
    scene = Scene(left(crashes), recovery_until=1, executions=executions)
    scene.arrive(0)
    assert scene.sent[0].flags == (Flag.ISOLATED if alone else 0)


def test_jobs_of_a_revoked_partition_are_not_sent() -> None:
    scene = Scene(left(2, stop=2), recovery_until=2)
    scene.arrive(0, 1)
    scene.quarantine.forget([scene.assignment])
    scene.in_flight.disown([scene.assignment])
    scene.quarantine.dispatch_held(0.0)
    assert scene.happened[:2] == ["commit", [0]]
    assert 1 not in scene.sent
