"""Promises of the stored dead letters, on Postgres and in memory: one row a place, found, grouped, dropped, pruned, erased."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from connectors.dead_letter_store import (
    DeadLetter,
    DeadLetterFilter,
    DeadLetterRow,
    DeadLetterStore,
    LetterPlace,
    fingerprint_of,
    summary_of,
)
from connectors.replay_store import MarkedRow, NewReplay, ReplayFilter
from schemas.ids import new_id
from streams import wiring
from streams.dead_letters.redrive import sources
from tests.harness.stores import Stores, ended, new_job, requested

LETTERS = b"d" * 16
AT = datetime(2026, 1, 1, tzinfo=UTC)


def row(offset: int, reason: str = "UNDECODABLE", job: UUID | None = None, **changes: Any) -> DeadLetterRow:
    summary, origin = changes.pop("summary", "no Avro"), changes.pop("origin_topic", "requests.echo")
    made = DeadLetterRow(
        topic_id=LETTERS,
        partition=0,
        offset=offset,
        at=AT + timedelta(seconds=offset),
        reason=reason,
        fingerprint=fingerprint_of(reason, origin, summary),
        summary=summary,
        processor="echo",
        origin_topic=origin,
        origin_partition=1,
        origin_offset=offset + 100,
        job_id=None if job is None else job.bytes,
        run=None if job is None else 0,
        bytes=12,
        attempts=1,
        worker="w-1",
    )
    return made._replace(**changes)


@pytest.fixture
def letters(stores: Stores) -> Iterator[DeadLetterStore]:
    stores.sink.learn_topics({LETTERS: "dead-letters"})
    with wiring.dead_letter_store(stores.settings) as opened:
        yield opened


def store(stores: Stores, *rows: DeadLetterRow) -> None:
    stores.sink.store([], [], [], (), rows)


def offsets(letters: DeadLetterStore, **wanted: Any) -> list[int]:
    return [one.offset for one in letters.find(DeadLetterFilter(**wanted), 10)]


def test_a_record_that_is_read_again_is_one_row(stores: Stores, letters: DeadLetterStore) -> None:
    store(stores, row(1), row(2))
    assert letters.drop(DeadLetterFilter(places=[LetterPlace(0, 1)]), "ann", "spam") == 1
    store(stores, row(1, "OTHER"), row(2), row(3))
    assert offsets(letters) == [3, 2, 1]
    [first] = letters.find(DeadLetterFilter(places=[LetterPlace(0, 1)]), 9)
    assert (first.reason, first.state) == ("UNDECODABLE", "dropped")


def test_a_row_is_shown_as_the_headers_said_it(stores: Stores, letters: DeadLetterStore) -> None:
    job = new_job()
    store(stores, row(1, job=job, bytes=None, worker="w\0x"))
    [one] = letters.find(DeadLetterFilter(), 9)
    assert (one.topic, one.place, one.at) == ("dead-letters", (0, 1), AT + timedelta(seconds=1))
    assert (one.origin_topic, one.origin_partition, one.origin_offset) == ("requests.echo", 1, 101)
    assert (one.job_id, one.run, one.job_known, one.tenant) == (str(job), 0, False, None)
    assert (one.bytes, one.attempts, one.state, one.changed_by) == (None, 1, "open", None)
    stores.store(requested(job, 0, header={"tenant": "clinic"}))
    [one] = letters.find(DeadLetterFilter(), 9)
    assert (one.job_known, one.tenant) == (True, "clinic")


def test_dead_letters_are_found_by_place_reason_processor_group_time_job_and_tenant(
    stores: Stores, letters: DeadLetterStore
) -> None:
    job = new_job()
    stores.store(requested(job, 0, header={"tenant": "clinic"}))
    store(stores, row(1), row(2, "WORKER_LOST", job), row(3, processor="embed"), row(3, partition=1))
    assert offsets(letters, places=[LetterPlace(0, 1), LetterPlace(1, 3), LetterPlace(2**40, 1)]) == [3, 1]
    assert offsets(letters, places=[]) == []
    assert offsets(letters, reason="WORKER_LOST") == offsets(letters, job_id=str(job)) == [2]
    assert offsets(letters, processor="embed") == [3]
    assert offsets(letters, fingerprint=row(1).fingerprint) == [3, 3, 1]
    assert offsets(letters, since=AT + timedelta(seconds=3)) == [3, 3]
    assert offsets(letters, until=AT + timedelta(seconds=2)) == [1]
    assert offsets(letters, tenant="clinic") == [2]
    assert offsets(letters, tenant="other") == offsets(letters, job_id="no id") == []


def test_dead_letters_are_listed_newest_first_in_pages(stores: Stores, letters: DeadLetterStore) -> None:
    store(stores, *(row(number, at=AT) for number in range(5)))
    first = letters.find(DeadLetterFilter(), 2)
    rest = letters.find(DeadLetterFilter(), 9, (first[-1].at, first[-1].place))
    assert [one.offset for one in (*first, *rest)] == [4, 3, 2, 1, 0]


def test_those_that_failed_alike_are_one_group_with_its_newest_as_the_example(
    stores: Stores, letters: DeadLetterStore
) -> None:
    store(stores, row(1), row(2), row(4), row(3, "WORKER_LOST", summary="died"))
    letters.drop(DeadLetterFilter(places=[LetterPlace(0, 2)]), "ann", "spam")
    one, two = letters.groups(DeadLetterFilter())
    assert (one.reason, one.letters, one.open, one.summary, one.offset) == ("UNDECODABLE", 3, 2, "no Avro", 4)
    assert (one.first_at, one.last_at) == (AT + timedelta(seconds=1), AT + timedelta(seconds=4))
    assert (two.reason, two.letters, two.processor, two.origin_topic) == ("WORKER_LOST", 1, "echo", "requests.echo")
    assert [group.letters for group in letters.groups(DeadLetterFilter(states=["open"]))] == [2, 1]
    assert letters.groups(DeadLetterFilter(tenant="clinic")) == []


def test_only_open_ones_are_dropped_and_the_row_says_who_and_why(stores: Stores, letters: DeadLetterStore) -> None:
    store(stores, row(1), row(2), row(3, "OTHER"))
    assert letters.drop(DeadLetterFilter(fingerprint=row(1).fingerprint), "ann", "a test of ours") == 2
    assert letters.drop(DeadLetterFilter(), "bob", "the rest") == 1
    found = {one.offset: (one.state, one.changed_by, one.note) for one in letters.find(DeadLetterFilter(), 9)}
    assert found[1] == ("dropped", "ann", "a test of ours")
    assert found[3] == ("dropped", "bob", "the rest")
    assert all(one.changed_at is not None for one in letters.find(DeadLetterFilter(), 9))


def test_old_rows_are_pruned(stores: Stores, letters: DeadLetterStore) -> None:
    now = datetime.now(UTC)
    store(stores, row(1), row(2, at=now))
    assert stores.due.lead()
    stores.due.prune(timedelta(days=1), 10)
    assert offsets(letters) == [2]


def test_of_an_erased_case_no_text_is_kept_or_stored_later(stores: Stores, letters: DeadLetterStore) -> None:
    job = new_job()
    stores.store(requested(job, 0, header={"tenant": "t", "case_id": "Kim"}), ended(job, 1))
    store(stores, row(1, job=job))
    letters.drop(DeadLetterFilter(), "ann", "it was Kim's")
    stores.retention.erase("t", "Kim", "ann", 0)
    store(stores, row(2, job=job))
    late, early = letters.find(DeadLetterFilter(), 9)
    assert (late.summary, early.summary, early.note) == (None, None, None)
    assert [group.summary for group in letters.groups(DeadLetterFilter())] == [None]


def test_a_summary_has_no_numbers_ids_addresses_or_quoted_values() -> None:
    message = f"Case 'Kim, 1971' of job {uuid.uuid4()} can't be read: b\"x\" at s3://b/deadbeef12 after 12.5 s"
    assert (
        summary_of(f"{message} (it's deadbeef01).") == "Case '…' of job … can't be read: '…' at … after … s (it's …)."
    )
    assert fingerprint_of("A", "t", "m") == fingerprint_of("A", "t", "m") != fingerprint_of("A", "u", "m")


def redrive(stores: Stores, one: DeadLetter) -> str:
    """Start a replay of a dead letter; return its id."""
    new = NewReplay(new_id(), "ann", "mended")
    stores.replays.start(new, sources([one]))
    return new.replay_id


def test_a_dead_letter_is_redriven_as_long_as_its_replay_may_publish_it(
    stores: Stores, letters: DeadLetterStore
) -> None:
    store(stores, row(1), row(2))
    _, one = letters.find(DeadLetterFilter(), 9)
    replay_id = redrive(stores, one)
    [found] = letters.find(DeadLetterFilter(states=["redriven"]), 9)
    assert (found.offset, found.changed_by, found.note, found.replay_id) == (1, "ann", "mended", replay_id)
    assert found.changed_at is not None
    assert offsets(letters, states=["open"]) == [2]
    assert letters.drop(DeadLetterFilter(), "bob", "the rest") == 1
    stores.replays.mark([MarkedRow(UUID(replay_id).bytes, 1, "failed", "no Avro")])
    assert offsets(letters, states=["open"]) == [1]
    redriven = redrive(stores, one)
    stores.replays.act(redriven, "cancel")
    assert offsets(letters, states=["open"]) == [1]
    assert offsets(letters, states=["dropped"]) == [2]


def test_a_dead_letter_of_a_known_job_is_redriven_by_any_replay_of_the_job(
    stores: Stores, letters: DeadLetterStore
) -> None:
    job = new_job()
    stores.store(requested(job, 0), ended(job, 1))
    store(stores, row(1, job=job), row(2, job=job, run=1))
    stores.replays.start(NewReplay(new_id(), "ann", "again"), ReplayFilter(job_ids=[str(job)]))
    assert offsets(letters, states=["redriven"]) == [1]
    assert [group.open for group in letters.groups(DeadLetterFilter())] == [1]
