"""Erasing a case: its contents go, what others share stays, and the log's remainder is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from connectors.claim_uris import content_key
from connectors.memos import MEMOS
from connectors.objects import ObjectStore
from connectors.retention_store import RetentionStore
from processors.echo import Echo
from processors.policy import Policy
from schemas.errors import Unreachable
from schemas.records import Claim
from streams import wiring
from streams.client.uploads import accept
from streams.log import kafka
from streams.log.memory import MemoryLog
from streams.retention.erase import Erased, erase
from streams.testing import Flow

SECRET = "Kim Minsoo 1971"


def erased(flow: Flow, *, dry_run: bool = False) -> Erased:
    with wiring.retention_store(flow.settings) as rows:
        objects = wiring.object_store(flow.settings)
        return erase(flow.settings, objects, rows, "default", SECRET, by="operator@host", dry_run=dry_run)


def stored(objects: ObjectStore, claim: Claim) -> bool:
    root = Path(objects.root.removeprefix("file://"))
    return (root / content_key(claim.sha256)).exists()


def record(flow: Flow, topic: str, *texts: str) -> None:
    producer = kafka.producer(flow.settings)
    producer.produce(topic, b"\0" + "\x08".join(texts).encode())
    producer.flush(5)


def everything_stored(flow: Flow, job_id: str) -> str:
    with wiring.job_store(flow.settings) as jobs, wiring.upload_store(flow.settings) as uploads:
        return f"{jobs.job(job_id)} {uploads.get('default', job_id)}"


def test_a_case_loses_its_contents_and_files_and_others_keep_theirs() -> None:
    with Flow("echo") as flow:
        objects, topics = wiring.object_store(flow.settings), flow.settings.topics
        own, shared, logged, others = (objects.put_bytes(each) for each in (b"own", b"shared", b"logged", b"others"))
        uploads = [accept(flow.settings, each, filename=SECRET, case_id=SECRET) for each in (own, shared, others)]
        accept(flow.settings, shared, case_id="another")
        job = flow.submit("echo", {"message": SECRET}, case_id=SECRET, external_id=SECRET, labels={"name": SECRET})
        other = flow.submit("echo", {"message": "hello"}, case_id="another")
        flow.settle()
        record(flow, topics.dead_letters, job, logged.uri)
        record(flow, topics.dead_letters, other, others.uri)
        assert SECRET in everything_stored(flow, job)

        planned = erased(flow, dry_run=True)
        assert SECRET in everything_stored(flow, job)
        done = erased(flow)
        assert (done.jobs, done.uploads, done.objects, done.shared) == (1, 3, 2, 2)
        assert (planned.jobs, planned.uploads, planned.objects, planned.shared) == (1, 3, 2, 2)
        assert SECRET not in everything_stored(flow, job)
        assert [stored(objects, each) for each in (own, logged, shared, others)] == [False, False, True, True]
        assert flow.job(other).output == {"message": "hello", "length": 5}
        with wiring.upload_store(flow.settings) as store:
            assert [store.get("default", each.upload_id) for each in uploads] == [None] * 3


def test_what_the_log_still_holds_is_counted_by_topic_with_the_time_until_when() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": SECRET}, case_id=SECRET)
        flow.submit("echo", {"message": "hello"})
        flow.settle()
        kept = {each.topic: each for each in erased(flow).log}
        topics = flow.settings.topics
        expected = {topics.requests("echo"), topics.results("echo"), topics.outcomes("echo")}
        assert kept.keys() == expected
        assert all(each.records == 1 for each in kept.values())
        until = kept[topics.requests("echo")].until
        assert until is not None
        assert round((until - flow.job(job).requested_at).total_seconds() / 86_400) == 14


def test_a_run_that_has_not_ended_is_cancelled_and_its_late_result_stores_nothing() -> None:
    with Flow("echo") as flow:
        flow.pause("echo")
        job = flow.submit("echo", {"message": SECRET}, case_id=SECRET, callback_url="http://localhost/done")
        flow.settle()
        assert erased(flow).cancelled == 1
        flow.settle()
        flow.resume("echo")
        flow.settle()
        view = flow.job(job)
        assert view.state == "CANCELLED"
        assert SECRET not in everything_stored(flow, job)
        assert view.deliveries == []


def test_erasing_twice_is_safe_and_both_are_on_record() -> None:
    with Flow("echo") as flow:
        flow.submit("echo", {"message": SECRET}, case_id=SECRET)
        flow.settle()
        first, second = erased(flow), erased(flow)
        assert (first.jobs, second.jobs) == (1, 0)
        assert first.log == second.log
        with wiring.retention_store(flow.settings) as rows:
            assert [each.erased_by for each in rows.erasures("default", SECRET)] == ["operator@host"] * 2


class Memoizing(Echo):
    policy = Policy(memoize=True)


def test_outputs_that_are_kept_to_be_reused_go_with_their_case() -> None:
    with Flow(Memoizing) as flow:
        objects = wiring.object_store(flow.settings)
        flow.submit("echo", {"message": SECRET}, case_id=SECRET)
        flow.submit("echo", {"message": "hello"}, case_id="another")
        flow.settle()
        assert len(list(objects.named(MEMOS))) == 2
        erased(flow)
        [(name, _)] = objects.named(MEMOS)
        assert b"hello" in (objects.get_named(name) or b"")


def test_an_erasure_that_was_interrupted_is_completed_by_the_next_one() -> None:
    with Flow("echo") as flow:
        objects = wiring.object_store(flow.settings)
        own = objects.put_bytes(b"own")
        accept(flow.settings, own, case_id=SECRET)
        with wiring.retention_store(flow.settings) as rows, pytest.raises(Unreachable):
            erase(flow.settings, objects, cast("RetentionStore", _LostAtTheEnd(rows)), "default", SECRET, by="x")
        assert not stored(objects, own)
        assert erased(flow).uploads == 1


class _LostAtTheEnd:
    """A store whose connection breaks when the rows are to be erased."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def erase(self, *_: object) -> Any:
        raise Unreachable("Postgres did not answer.")


def test_the_routers_topics_are_named_too_if_they_hold_records_of_the_case() -> None:
    with Flow("echo") as flow:
        job = flow.submit("echo", {"message": SECRET}, case_id=SECRET)
        flow.settle()
        topics, log = flow.settings.topics, MemoryLog.at(flow.settings.bootstrap)
        assert log is not None
        for topic in (topics.join_parts, topics.join_state):
            log.create_topic(topic)
            record(flow, topic, job)
        kept = {each.topic: each for each in erased(flow).log}
        assert [kept[topic].records for topic in (topics.join_parts, topics.join_state)] == [1, 1]
