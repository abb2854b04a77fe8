"""All jobs in flight, and when their offsets are done."""

from __future__ import annotations

import threading

from schemas.errors import ErrorCode
from schemas.headers import JOB
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import JobOrigin
from streams.worker.kafka_source.assignment import Assignment
from streams.worker.protocol import Flag
from tests.harness.jobs import admitted, done, new_job


def assignment() -> Assignment:
    return Assignment("requests.echo", 0, 0)


def test_an_offset_is_done_only_when_its_result_is_confirmed() -> None:
    in_flight, one = InFlightJobs(), assignment()
    first, second = admitted(in_flight, one, 0, 1)
    in_flight.answered(first.slot, 1)
    assert one.tracker.position() == 0
    in_flight.confirmed([first])
    assert one.tracker.position() == 1
    assert len(in_flight) == 1
    assert in_flight.with_child() == [second]


def test_a_job_with_a_dead_letter_waits_for_both_records() -> None:
    in_flight, one = InFlightJobs(), assignment()
    (job,) = admitted(in_flight, one, 0)
    in_flight.answered(job.slot, 2)
    in_flight.confirmed([job])
    assert one.tracker.position() == 0
    in_flight.confirmed([job])
    assert one.tracker.position() == 1


def test_an_answer_counts_once() -> None:
    in_flight, one = InFlightJobs(), assignment()
    (job,) = admitted(in_flight, one, 0)
    assert in_flight.answered(job.slot, 1) is job
    assert in_flight.answered(job.slot, 1) is None


def test_a_record_that_is_fetched_again_is_not_admitted_again() -> None:
    in_flight, one = InFlightJobs(), assignment()
    admitted(in_flight, one, 0)
    assert admitted(in_flight, one, 0) == []
    assert len(in_flight) == 1


def test_at_the_limit_the_engine_waits_until_a_job_is_done() -> None:
    in_flight, one = InFlightJobs(), assignment()
    (job,) = admitted(in_flight, one, 0)
    in_flight.answered(job.slot, 1)
    assert in_flight.wait_for_capacity(1, 0).total == 0
    deliverer = threading.Timer(0.01, in_flight.confirmed, [[job]])
    deliverer.start()
    assert in_flight.wait_for_capacity(1, 10).total == 1
    deliverer.join()


def test_large_requests_use_up_the_capacity_too() -> None:
    in_flight, one = InFlightJobs(max_bytes=100), assignment()
    in_flight.admit([new_job(one, 0, value=b"x" * 200)])
    assert in_flight.wait_for_capacity(10, 0).total == 0


def test_jobs_of_a_revoked_partition_are_disowned_and_late_answers_ignored() -> None:
    in_flight, revoked, kept = InFlightJobs(), assignment(), assignment()
    (gone,) = admitted(in_flight, revoked, 0)
    (stays,) = admitted(in_flight, kept, 0)
    assert in_flight.disown([revoked]) == [gone]
    assert in_flight.answered(gone.slot, 1) is None
    assert in_flight.with_child() == [stays]
    assert len(in_flight) == 1


def test_a_revocation_waits_for_results_on_their_way() -> None:
    in_flight, one = InFlightJobs(), assignment()
    (job,) = admitted(in_flight, one, 0)
    assert in_flight.wait_until_published([one], 0)
    in_flight.answered(job.slot, 1)
    assert not in_flight.wait_until_published([one], 0)
    in_flight.confirmed([job])
    assert in_flight.wait_until_published([one], 0)


def test_a_result_that_kafka_refuses_is_made_again() -> None:
    in_flight, one = InFlightJobs(), assignment()
    (job,) = in_flight.admit([new_job(one, headers=[("sluice-job", b"id")])])
    in_flight.answered(job.slot, 1)
    in_flight.too_large(job)
    assert in_flight.answered(job.slot, 1) is job
    frame = job.frame()
    assert (frame.flags, frame.error_code, frame.headers[JOB]) == (
        Flag.REJECTED,
        ErrorCode.PAYLOAD_TOO_LARGE.encode(),
        b"id",
    )


def test_bulk_jobs_leave_a_quarter_of_the_capacity_to_live_ones() -> None:
    in_flight, live, bulk = InFlightJobs(), assignment(), Assignment("requests.echo.bulk", 0, 1)
    assert in_flight.wait_for_capacity(8, 0) == (8, 6)
    jobs = admitted(in_flight, bulk, *range(6))
    assert in_flight.wait_for_capacity(8, 0) == (2, 0)
    admitted(in_flight, live, 0)
    assert (in_flight.wait_for_capacity(8, 0), in_flight.by_lane) == ((1, 0), (1, 6))
    done(in_flight, jobs[0])
    assert in_flight.wait_for_capacity(8, 0) == (2, 1)


def test_large_bulk_requests_leave_capacity_to_live_ones_too() -> None:
    in_flight = InFlightJobs(max_bytes=1000)
    in_flight.admit([new_job(JobOrigin("requests.echo.bulk", 0, 1), value=b"x" * 800)])
    assert in_flight.wait_for_capacity(100, 0) == (1, 0)


def test_a_poll_asks_for_as_many_jobs_as_fit_by_their_bytes() -> None:
    in_flight = InFlightJobs(max_bytes=1000)
    in_flight.admit([new_job(JobOrigin("requests.echo", 0, 0), value=b"x" * 99)])
    assert in_flight.wait_for_capacity(500, 0).total == 1 + 901 // 100


def test_a_released_job_leaves_its_offset_open() -> None:
    in_flight, one = InFlightJobs(), assignment()
    first, second = admitted(in_flight, one, 0, 1)
    in_flight.release([second.slot, 12345])
    assert in_flight.with_child() == [first]
    in_flight.answered(first.slot, 1)
    in_flight.confirmed([first])
    assert (len(in_flight), one.tracker.position()) == (0, 1)


def test_a_waiting_job_is_in_flight_but_not_with_the_child() -> None:
    in_flight, one = InFlightJobs(), assignment()
    first, second = admitted(in_flight, one, 0, 1)
    in_flight.mark_waiting([second])
    assert (in_flight.with_child(), in_flight.set_aside(), len(in_flight)) == ([first], [second], 2)
    in_flight.begin([second])
    assert (in_flight.with_child(), in_flight.set_aside()) == ([first, second], [])


def test_done_jobs_with_an_order_key_are_reported() -> None:
    in_flight, one = InFlightJobs(), assignment()
    first, second = admitted(in_flight, one, 0, 1)
    first.take_turn(b"key")
    for job in (first, second):
        in_flight.answered(job.slot, 1)
        in_flight.confirmed([job])
    assert list(in_flight.finished) == [first]
