"""Deliveries that the sink hands off to the notifier beside it: exactly those that it stored under that notifier's id."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.memory import MemoryDatabase
from schemas.ids import new_id
from schemas.records import ECHO
from schemas.registry import MemoryRegistry
from streams import wiring
from streams.admin import topics
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.notify.pending_delivery import PendingDelivery
from streams.settings import Settings
from streams.sink.event import Phase
from streams.sink.fold import fold
from streams.sink.session import Session
from streams.sink.sink import open_session
from streams.sink.topic_table import read_topics
from tests.harness.events import event
from tests.harness.stores import CALLBACK

NOTIFIER = b"n" * 16


class Recorder:
    """A handoff whose notifier accepts deliveries or not."""

    def __init__(self, notifier_id: bytes | None) -> None:
        self.notifier_id = notifier_id
        self.submitted: list[tuple[bytes, PendingDelivery]] = []

    def submit(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        self.submitted += [(notifier, delivery) for delivery in deliveries]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    name = uuid.uuid4().hex
    address = f"memory:{name}"
    settings = Settings(
        kafka_bootstrap_servers=address,
        schema_registry_url=address,
        database_url=SecretStr(address),
        home=tmp_path,
        partitions=1,
    )
    topics.apply(settings, [ECHO])
    yield settings
    for twin in (MemoryLog, MemoryDatabase, MemoryRegistry):
        twin.forget(name)


@pytest.mark.parametrize("notifier", [None, NOTIFIER], ids=["a full notifier", "a notifier with room"])
def test_only_what_was_stored_under_a_notifier_is_handed_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, notifier: bytes | None
) -> None:
    monkeypatch.setattr(Session, "_publish", lambda *_: 0)  # this event has no record
    handoff = Recorder(notifier)
    table = read_topics(kafka.admin(settings), settings.topics)
    store = wiring.sink_store(settings)
    session = open_session(settings, store, kafka.producer(settings), table, handoff, threading.Event())
    job = uuid.UUID(new_id())
    folds, _ = fold(
        [event(Phase.REQUESTED, 1, job=job, header=CALLBACK), event(Phase.ENDED, 2, job=job, header=CALLBACK)]
    )
    session._store_folds(folds, last=True)
    session.close()
    database = MemoryDatabase.at(settings.database)
    assert database is not None
    [stored] = database.deliveries.values()
    assert stored.notifier == notifier
    expected = [] if notifier is None else [(notifier, stored.delivery_id)]
    assert [(name, delivery.delivery_id) for name, delivery in handoff.submitted] == expected
