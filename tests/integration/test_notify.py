"""Callbacks on the real stack: at once, again on a schedule, and by another notifier after a crash."""

from __future__ import annotations

import pytest

from bench.receiver import ReceivedCallback, Receiver
from connectors.postgres.delivery_store import PostgresDeliveryStore
from schemas.records import JobHeader
from streams.notify import Notifier
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.services import Service
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack


class Backend:
    """Answers with the given statuses, then with `always`."""

    def __init__(self, *statuses: int, always: int = 200) -> None:
        self._statuses = list(statuses)
        self._always = always

    def __call__(self, callback: ReceivedCallback) -> int:
        return self._statuses.pop(0) if self._statuses else self._always


def ended(scribe: Scribe, receiver: Receiver) -> JobHeader:
    job = header(callback_url=receiver.url, external_id="case-7")
    scribe.request(job)
    scribe.result(job)
    return job


def wait_for_deliveries(scribe: Scribe, state: str, count: int = 1) -> None:
    def states() -> list[tuple[str, int]]:
        return [(row[0], row[1]) for row in scribe.rows("SELECT state, count(*) FROM deliveries GROUP BY state")]

    wait_until(lambda: states() == [(state, count)], lambda: f"deliveries are {states()}")


def tries(scribe: Scribe) -> list[tuple[int, int | None]]:
    return [(n, status) for n, status in scribe.rows("SELECT n, status FROM delivery_tries ORDER BY n")]


def test_an_outcome_is_delivered_once_with_the_fields_of_its_rows(settings: Settings, scribe: Scribe) -> None:
    with Receiver() as receiver, in_thread(Sink(settings, notify=True).run):
        job = ended(scribe, receiver)
        wait_for_deliveries(scribe, "delivered")
    [callback] = receiver.callbacks
    event = callback.event()
    assert event["type"] == "job.completed"
    assert event["data"]["job_id"] == job.job_id
    assert event["data"]["external_id"] == "case-7"
    assert event["data"]["output"] == {"message": "hello", "length": 5}
    assert scribe.rows("SELECT delivery_id::text FROM deliveries") == [(callback.delivery_id,)]
    assert tries(scribe) == [(1, 200)]


def test_a_backend_that_fails_first_is_tried_again(settings: Settings, scribe: Scribe) -> None:
    with Receiver(answer=Backend(500)) as receiver, in_thread(Sink(settings, notify=True).run):
        ended(scribe, receiver)
        wait_for_deliveries(scribe, "delivered")
    assert tries(scribe) == [(1, 500), (2, 200)]
    assert len({callback.delivery_id for callback in receiver.callbacks}) == 1
    first, second = (callback.event() for callback in receiver.callbacks)
    assert first == second


@pytest.mark.parametrize(("status", "state"), [(410, "gone")])
def test_a_backend_that_answers_gone_is_not_tried_again(
    settings: Settings, scribe: Scribe, status: int, state: str
) -> None:
    with Receiver(answer=Backend(always=status)) as receiver, in_thread(Sink(settings, notify=True).run):
        ended(scribe, receiver)
        wait_for_deliveries(scribe, state)
    assert tries(scribe) == [(1, status)]


def test_a_forbidden_address_is_refused_and_named_in_the_error(settings: Settings, scribe: Scribe) -> None:
    with in_thread(Sink(settings, notify=True).run):
        scribe.result(header(callback_url="http://10.1.2.3/callback"))
        wait_for_deliveries(scribe, "refused")
    [(error,)] = scribe.rows("SELECT error FROM delivery_tries")
    assert "10.1.2.3" in error


def test_a_dead_backend_is_left_alone_after_five_failures_in_a_row(settings: Settings, scribe: Scribe) -> None:
    settings = settings.model_copy(update={"callback_connections": 1})
    with Receiver(answer=Backend(always=503)) as dead, Receiver() as alive, in_thread(Sink(settings, notify=True).run):
        for _ in range(30):
            ended(scribe, dead)
        ended(scribe, alive)
        wait_until(lambda: alive.wait_for(1, 0.1), lambda: "the healthy backend got no callback")
        wait_until(
            lambda: (
                scribe.rows("SELECT count(*) FROM deliveries WHERE notifier IS NULL AND state = 'pending'") == [(30,)]
            ),
            lambda: "not all were released",
        )
    assert dead.requests == 5
    assert scribe.rows("SELECT count(*) FROM delivery_tries WHERE status = 503") == [(5,)]


def test_notify_as_a_service_delivers_what_a_sink_stored(settings: Settings, scribe: Scribe) -> None:
    with Receiver() as receiver, in_thread(Sink(settings, notify=False).run), in_thread(Notifier(settings).run):
        for _ in range(20):
            ended(scribe, receiver)
        wait_for_deliveries(scribe, "delivered", 20)
    assert len(receiver.callbacks) == 20


def test_deliveries_that_a_killed_notify_held_are_made_by_the_next(settings: Settings, scribe: Scribe) -> None:
    def slow(callback: ReceivedCallback) -> int:
        import time

        time.sleep(0.02)
        return 200

    with Receiver(answer=slow) as receiver, in_thread(Sink(settings, notify=False).run):
        notify = Service(settings, ["notify"])
        for _ in range(200):
            ended(scribe, receiver)
        assert receiver.wait_for(20, 30)
        notify.kill()
        unfinished = 200 - len(receiver.ids)
        notify.start()
        assert receiver.wait_for(200, 30)
        wait_for_deliveries(scribe, "delivered", 200)
        assert notify.stop() == 0
    assert unfinished >= 50


def test_two_notifiers_never_claim_the_same_delivery(settings: Settings, scribe: Scribe) -> None:
    with in_thread(Sink(settings, notify=False).run):
        for _ in range(30):
            scribe.result(header(callback_url="http://127.0.0.1:9/"))
        wait_for_deliveries(scribe, "pending", 30)
    one, other = PostgresDeliveryStore(settings.database), PostgresDeliveryStore(settings.database)
    for store, name in ((one, b"1" * 16), (other, b"2" * 16)):
        store.renew(name, 60)
    first = {claimed.delivery_id for claimed in one.claim(b"1" * 16, 20)}
    second = {claimed.delivery_id for claimed in other.claim(b"2" * 16, 20)}
    assert (len(first), len(second), first & second) == (20, 10, set())
    one.retire(b"1" * 16)
    assert {claimed.delivery_id for claimed in other.claim(b"2" * 16, 20)} == first
    one.close()
    other.close()
