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
