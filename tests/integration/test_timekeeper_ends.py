"""The timekeeper on a real stack ends runs that nothing else ends, and looks rarely at cancels of unknown jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import TopicPartition

from connectors.postgres.due_store import PostgresDueStore
from streams.log import kafka
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper, requests_gone, silent
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread

pytestmark = pytest.mark.stack


@pytest.fixture
def scribe(settings: Settings) -> Iterator[Scribe]:
    made = Scribe(settings)
    yield made
    made.close()


def test_a_cancel_of_an_unknown_job_is_looked_at_after_a_quarter_of_its_age(settings: Settings, scribe: Scribe) -> None:
    insert = "INSERT INTO cancels VALUES (gen_random_uuid(), 0, now(), 'me', '', now() - %s * interval '1 minute')"
    for minutes in (4, 14 * 24 * 60):
        scribe.write_row(insert, minutes)
    store = PostgresDueStore(settings.database)
    assert store.open_cancels(timedelta(seconds=8), 10) == []
    store.close()
    waits = scribe.rows("SELECT round(extract(epoch FROM due_at - now()) / 60)::int FROM cancels ORDER BY 1")
    assert waits == [(1,), (60,)]


def test_runs_whose_requests_left_the_log_or_that_are_silent_for_long_are_ended(
    settings: Settings, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_gone, "EVERY_S", 0.5)
    monkeypatch.setattr(silent, "EVERY_S", 0.5)
    lost, kept, old = header(), header(), header(created_at=datetime.now(UTC) - timedelta(days=20))
    with in_thread(Sink(settings, notify=False).run):
        place = scribe.request(lost)
        while scribe.request(old).partition == place.partition or scribe.request(kept).partition == place.partition:
            old, kept = header(created_at=old.created_at), header()
        for job in (lost, kept, old):
            scribe.wait(job, "PENDING")
        before = TopicPartition(place.topic, place.partition, place.offset + 1)
        admin = kafka.admin(settings)
        admin.delete_records([before])[before].result(10)
        scribe.write_row("UPDATE runs SET updated_at = now() - interval '2 minutes'")
        scribe.write_row("UPDATE runs SET updated_at = now() - interval '14 days' WHERE job_id = %s", old.job_id)
        with in_thread(Timekeeper(settings).run):
            scribe.wait(lost, "FAILED")
            scribe.wait(old, "EXPIRED")
    assert scribe.state(kept) == "PENDING"
