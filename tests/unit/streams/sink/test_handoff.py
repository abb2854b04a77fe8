"""Deliveries that the sink hands off to the notifier beside it: exactly those that it stored under that notifier's id."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from connectors.memory import MemoryDatabase
from schemas.ids import new_id
from streams.notify.pending_delivery import PendingDelivery
from streams.settings import Settings
from streams.sink.event import Phase
from streams.sink.fold import fold
from streams.sink.session import Session
from tests.harness.events import event
from tests.harness.sink_kit import open_sink
from tests.harness.stores import CALLBACK

NOTIFIER = b"n" * 16


class Recorder:
    """A handoff whose notifier accepts deliveries or not."""

    def __init__(self, notifier_id: bytes | None) -> None:
        self.notifier_id = notifier_id
        self.submitted: list[tuple[bytes, PendingDelivery]] = []

    def submit(self, notifier: bytes, deliveries: Sequence[PendingDelivery]) -> None:
        self.submitted += [(notifier, delivery) for delivery in deliveries]

    def reconcile(self) -> None:
        pass


@pytest.mark.parametrize("notifier", [None, NOTIFIER], ids=["a full notifier", "a notifier with room"])
def test_only_what_was_stored_under_a_notifier_is_handed_to_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, notifier: bytes | None
) -> None:
    monkeypatch.setattr(Session, "_publish", lambda *_: 0)  # this event has no record
    handoff = Recorder(notifier)
    session = open_sink(settings, handoff=handoff)
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
