from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from connectors.payload_store import CHECK_IN_S, Acceptance, Payload
from schemas.codec import Codec
from schemas.errors import SluiceError, Unreachable
from streams import wiring
from streams.client.acceptor import Acceptor
from streams.client.requests import EncodedRequest, RequestEncoders
from streams.log import kafka
from streams.settings import Settings
from tests.harness.sink_kit import records, twin_settings
from tests.harness.waiting import wait_until


class SlowStore:
    """Accepts everything; its first call waits until `go`. `refuse` raises the error that a group meets."""

    def __init__(self, refuse: Callable[[Sequence[Payload]], None] = lambda payloads: None) -> None:
        self.go, self.entered = threading.Event(), threading.Event()
        self.groups: list[int] = []
        self._refuse = refuse

    def __enter__(self) -> SlowStore:
        return self

    def __exit__(self, *_: object) -> None: ...

    def accept(self, payload: Payload, check_in_s: float = CHECK_IN_S) -> bool:
        return self.accept_many([payload], check_in_s)[0].accepted

    def accept_many(self, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> list[Acceptance]:
        self.entered.set()
        assert self.go.wait(10)
        self.groups.append(len(payloads))
        self._refuse(payloads)
        return [Acceptance(True, payload.input_sha256) for payload in payloads]

    def payload(self, job_id: str, run: int = 0) -> Payload | None:
        return None

    def close(self) -> None: ...


def encoded(settings: Settings, *messages: str) -> list[EncodedRequest]:
    encoders = RequestEncoders(settings, Codec(wiring.registry(settings)), "test")
    return [encoders.encode("echo", {"message": message}, {}) for message in messages]


@contextmanager
def running(settings: Settings, store: SlowStore) -> Iterator[Acceptor]:
    """Run an acceptor; at the end everything that waited has been answered."""
    acceptor = Acceptor(lambda: store, kafka.producer(settings))
    thread = threading.Thread(target=acceptor.run)
    thread.start()
    try:
        yield acceptor
    finally:
        store.go.set()
        acceptor.close()
        thread.join()


def test_requests_that_wait_at_the_same_moment_share_a_commit_and_are_then_published(tmp_path: Path) -> None:
    store, answers = SlowStore(), list[Any]()
    with twin_settings(tmp_path) as settings:
        requests = encoded(settings, *"abcde")
        with running(settings, store) as acceptor:
            acceptor.accept(requests[0], answers.append)
            assert store.entered.wait(10)
            for request in requests[1:]:
                acceptor.accept(request, answers.append)
            assert records(settings, requests[0].topic) == []
        assert store.groups == [1, 4]
        assert [answer.accepted for answer in answers] == [True] * 5
        assert {record.value() for record in records(settings, requests[0].topic)} == {each.value for each in requests}


def test_a_request_that_the_store_refuses_is_refused_alone(tmp_path: Path) -> None:
    bad = list[EncodedRequest]()

    def refuse(payloads: Sequence[Payload]) -> None:
        if any(payload.value == bad[0].value for payload in payloads):
            raise SluiceError("It can't be stored.")

    store, answers = SlowStore(refuse), dict[str, Any]()
    with twin_settings(tmp_path) as settings:
        requests = encoded(settings, "a", "bad", "c", "d")
        bad.append(requests[1])
        with running(settings, store) as acceptor:
            for request in requests:
                acceptor.accept(request, partial(answers.setdefault, request.header.job_id))
        refused = [id_ for id_, answer in answers.items() if isinstance(answer, SluiceError)]
        assert refused == [bad[0].header.job_id]
        assert len(records(settings, requests[0].topic)) == 3


def test_while_the_store_is_away_each_request_is_refused_and_nothing_is_published(tmp_path: Path) -> None:
    def refuse(_: Sequence[Payload]) -> None:
        raise Unreachable("Postgres is away.")

    store, answers = SlowStore(refuse), list[Any]()
    with twin_settings(tmp_path) as settings:
        requests = encoded(settings, "a", "b")
        with running(settings, store) as acceptor:
            for request in requests:
                acceptor.accept(request, answers.append)
        assert [type(answer) for answer in answers] == [Unreachable] * 2
        assert records(settings, requests[0].topic) == []


def test_a_new_request_is_published_beside_its_commit_once_the_store_has_answered(tmp_path: Path) -> None:
    store, answers = SlowStore(), list[Any]()
    with twin_settings(tmp_path) as settings:
        first, new, repeated = encoded(settings, *"abc")
        with running(settings, store) as acceptor:
            acceptor.accept(first, answers.append, new=True)
            assert store.entered.wait(10)
            assert records(settings, first.topic) == []
            store.go.set()
            wait_until(lambda: answers, lambda: "no answer")
            store.go.clear()
            store.entered.clear()
            acceptor.accept(new, answers.append, new=True)
            acceptor.accept(repeated, answers.append)
            assert store.entered.wait(10)
            assert {record.value() for record in records(settings, new.topic)} == {first.value, new.value}
        assert [answer.accepted for answer in answers] == [True] * 3
        published = sorted(record.value() or b"" for record in records(settings, new.topic))  # each once
        assert published == sorted(each.value for each in (first, new, repeated))


def answered(answers: list[Any], n: int) -> bool:
    return len(answers) > n


def test_after_an_outage_of_the_store_a_new_request_waits_for_its_commit_again(tmp_path: Path) -> None:
    away = [False]

    def refuse(_: Sequence[Payload]) -> None:
        if away[0]:
            raise Unreachable("Postgres is away.")

    store, answers = SlowStore(refuse), list[Any]()
    store.go.set()
    with twin_settings(tmp_path) as settings:
        requests = encoded(settings, *"abcd")
        with running(settings, store) as acceptor:
            for n, request in enumerate(requests):
                away[0] = n in (1, 2)
                acceptor.accept(request, answers.append, new=True)
                wait_until(partial(answered, answers, n), lambda: "no answer")
        assert [isinstance(answer, Unreachable) for answer in answers] == [False, True, True, False]
        published = {record.value() for record in records(settings, requests[0].topic)}
        # The first that meets the outage is published: its answer is an error, and it may run all the same.
        assert published == {requests[0].value, requests[1].value, requests[3].value}


def test_a_job_that_the_sink_stored_before_its_commit_counts_as_accepted(tmp_path: Path) -> None:
    class SinkWasFirst(SlowStore):
        def accept_many(self, payloads: Sequence[Payload], check_in_s: float = CHECK_IN_S) -> list[Acceptance]:
            found = super().accept_many(payloads, check_in_s)
            return [Acceptance(len(self.groups) == 1, each.input_sha256) for each in found]

    store, answers = SinkWasFirst(), list[Any]()
    store.go.set()
    with twin_settings(tmp_path) as settings, running(settings, store) as acceptor:
        for n, request in enumerate(encoded(settings, *"ab")):
            acceptor.accept(request, answers.append, new=True)
            wait_until(partial(answered, answers, n), lambda: "no answer")
    assert [answer.accepted for answer in answers] == [True, True]
