"""Every job in hand, and when its offset is done."""

from __future__ import annotations

import threading

from confluent_kafka import Message

from streams.worker.in_flight import Assignment, InFlightJobs
from streams.worker.protocol import Flag


def message(offset: int, value: bytes = b"x") -> Message:
    return Message(topic="requests.echo", partition=0, offset=offset, value=value, headers=[("sluice-job", b"id")])


def owned() -> Assignment:
    return Assignment("requests.echo", 0, 0)


def test_an_offset_is_done_only_when_its_result_is_confirmed() -> None:
    ledger, one = InFlightJobs(10), owned()
    first, second = ledger.admit([(message(0), one), (message(1), one)], 7)
    ledger.answered(first.slot, 1)
    assert one.tracker.position() == 0
    ledger.confirmed([first])
    assert one.tracker.position() == 1
    assert len(ledger) == 1
    assert ledger.unanswered() == [second]


def test_a_job_with_a_dead_letter_waits_for_both_records() -> None:
    ledger, one = InFlightJobs(10), owned()
    (held,) = ledger.admit([(message(0), one)], 7)
    ledger.answered(held.slot, 2)
    ledger.confirmed([held])
    assert one.tracker.position() == 0
    ledger.confirmed([held])
    assert one.tracker.position() == 1


def test_an_answer_counts_once() -> None:
    ledger, one = InFlightJobs(10), owned()
    (held,) = ledger.admit([(message(0), one)], 7)
    assert ledger.answered(held.slot, 1) is held
    assert ledger.answered(held.slot, 1) is None


def test_a_record_that_is_fetched_again_is_not_admitted_again() -> None:
    ledger, one = InFlightJobs(10), owned()
    ledger.admit([(message(0), one)], 7)
    assert ledger.admit([(message(0), one)], 7) == []
    assert len(ledger) == 1


def test_the_cap_makes_the_poll_loop_wait_until_a_job_is_done() -> None:
    ledger, one = InFlightJobs(1), owned()
    (held,) = ledger.admit([(message(0), one)], 7)
    ledger.answered(held.slot, 1)
    assert ledger.wait_for_room(0).total == 0
    deliverer = threading.Timer(0.01, ledger.confirmed, [[held]])
    deliverer.start()
    assert ledger.wait_for_room(10).total == 1
    deliverer.join()


def test_large_requests_fill_the_room_too() -> None:
    ledger, one = InFlightJobs(10, max_bytes=100), owned()
    ledger.admit([(message(0, b"x" * 200), one)], 7)
    assert ledger.wait_for_room(0).total == 0


def test_jobs_of_a_partition_that_was_given_back_are_forgotten_and_late_answers_ignored() -> None:
    ledger, given, kept = InFlightJobs(10), owned(), owned()
    (gone,) = ledger.admit([(message(0), given)], 7)
    (stays,) = ledger.admit([(message(0), kept)], 7)
    assert ledger.drop([given]) == [gone.slot]
    assert ledger.answered(gone.slot, 1) is None
    assert ledger.unanswered() == [stays]
    assert len(ledger) == 1


def test_giving_back_waits_for_what_is_on_its_way() -> None:
    ledger, one = InFlightJobs(10), owned()
    (held,) = ledger.admit([(message(0), one)], 7)
    assert ledger.settle([one], 0)
    ledger.answered(held.slot, 1)
    assert not ledger.settle([one], 0)
    ledger.confirmed([held])
    assert ledger.settle([one], 0)


def test_a_result_that_kafka_refuses_is_asked_for_again() -> None:
    ledger, one = InFlightJobs(10), owned()
    (held,) = ledger.admit([(message(0), one)], 7)
    ledger.answered(held.slot, 1)
    ledger.reopen(held, Flag.REJECTED, b"PAYLOAD_TOO_LARGE")
    assert ledger.answered(held.slot, 1) is held
    frame = held.frame()
    assert (frame.flags, frame.error_code, frame.headers.job_id) == (Flag.REJECTED, b"PAYLOAD_TOO_LARGE", b"id")


def test_bulk_jobs_leave_a_quarter_of_the_room_to_live_ones() -> None:
    ledger, live, bulk = InFlightJobs(8), owned(), Assignment("requests.echo.bulk", 0, 1)
    assert ledger.wait_for_room(0) == (8, 6)
    held = ledger.admit([(message(n), bulk) for n in range(6)], 7)
    assert ledger.wait_for_room(0) == (2, 0)
    ledger.admit([(message(0), live)], 7)
    assert (ledger.wait_for_room(0), ledger.by_lane) == ((1, 0), (1, 6))
    ledger.answered(held[0].slot, 1)
    ledger.confirmed(held[:1])
    assert ledger.wait_for_room(0) == (2, 1)


def test_large_bulk_requests_leave_room_to_live_ones_too() -> None:
    ledger = InFlightJobs(100, max_bytes=1000)
    ledger.admit([(message(0, b"x" * 800), Assignment("requests.echo.bulk", 0, 1))], 7)
    assert ledger.wait_for_room(0) == (99, 0)


def test_a_job_given_back_leaves_its_offset_open() -> None:
    ledger, one = InFlightJobs(10), owned()
    first, second = ledger.admit([(message(0), one), (message(1), one)], 7)
    ledger.give_back([second.slot, 12345])
    assert ledger.unanswered() == [first]
    ledger.answered(first.slot, 1)
    ledger.confirmed([first])
    assert (len(ledger), one.tracker.position()) == (0, 1)


def test_a_parked_job_is_held_but_not_the_childs() -> None:
    ledger, one = InFlightJobs(10), owned()
    first, second = ledger.admit([(message(0), one), (message(1), one)], 7)
    ledger.park([second])
    assert (ledger.unanswered(), ledger.set_aside(), len(ledger)) == ([first], [second], 2)
    ledger.unpark(second)
    assert (ledger.unanswered(), ledger.set_aside()) == ([first, second], [])


def test_it_tells_which_jobs_with_a_turn_are_done() -> None:
    ledger, one = InFlightJobs(10), owned()
    first, second = ledger.admit([(message(0), one), (message(1), one)], 7)
    first.turn = b"key"
    for held in (first, second):
        ledger.answered(held.slot, 1)
        ledger.confirmed([held])
    assert list(ledger.finished) == [first]
