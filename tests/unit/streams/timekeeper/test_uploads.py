"""The timekeeper publishes events of accepted uploads that are not confirmed, and deletes pieces of expired ones."""

from __future__ import annotations

import pytest

from connectors.upload_store import CHECK_IN_S, TUS, PartialUpload, UploadPart
from schemas.errors import Unreachable
from schemas.ids import new_id
from schemas.records import Upload
from streams import wiring
from streams.admin.tail import last
from streams.client.uploads import UploadPublisher, accept
from streams.testing import Flow


def published(flow: Flow) -> list[str]:
    return [record.value["upload_id"] for record in last(flow.settings, flow.settings.topics.uploads, 10)]


def later(flow: Flow, seconds: float) -> None:
    flow.advance(seconds)
    flow.settle()


def test_an_event_that_kafka_did_not_confirm_is_published_with_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[str]:
        raise Unreachable("Kafka did not answer.")

    with Flow("echo") as flow:
        claim = wiring.object_store(flow.settings).put_bytes(b"x")
        with monkeypatch.context() as patched:
            patched.setattr(UploadPublisher, "publish", fail)
            upload: Upload = accept(flow.settings, claim, case_id="7")
        flow.settle()
        assert published(flow) == []
        later(flow, CHECK_IN_S + 1)
        assert published(flow) == [upload.upload_id]
        later(flow, 3600)
        assert published(flow) == [upload.upload_id]


def test_a_confirmed_event_is_published_once() -> None:
    with Flow("echo") as flow:
        upload = accept(flow.settings, wiring.object_store(flow.settings).put_bytes(b"x"))
        later(flow, 3600)
        assert published(flow) == [upload.upload_id]


def test_the_pieces_of_an_expired_upload_are_deleted() -> None:
    with Flow("echo") as flow, wiring.upload_store(flow.settings) as store:
        objects, name = wiring.object_store(flow.settings), "uploads/x/0-a"
        objects.put_named(name, b"x")
        begun = store.begin(PartialUpload(new_id(), "t", TUS, 5, None, "x/y"), 60.0)
        store.add_part(begun.upload_id, UploadPart(0, 1, name), 60.0)
        later(flow, 59)
        assert objects.get_named(name) == b"x"
        later(flow, 2)
        assert objects.get_named(name) is None
        assert store.parts(begun.upload_id) == []
