"""A batch is published before it is kept; bad records become dead letters and stop nothing."""

from __future__ import annotations

import pytest

from schemas.errors import InvalidInput, Unreachable
from streams.router.joins import CaseKey, load
from tests.unit.streams.router.kit import Desk, result, upload


def test_an_upload_becomes_jobs_and_two_outcomes_become_the_next() -> None:
    desk = Desk()
    desk.handle(desk.upload(upload()), desk.outcome(result("echo", 1)))
    assert [job.processor for job in desk.recorder.jobs] == ["segmentation", "echo"]
    assert len(desk.handler.waiting) == 2
    desk.handle(desk.outcome(result("embed", 2)))
    third = desk.recorder.jobs[-1]
    assert (third.rule, third.input) == ("both", {"message": "message 1"})
    assert third.options["labels"] == {
        "first": result("echo", 1).header.job_id,
        "sluice.part.a": f"{result('echo', 1).header.job_id}:0",
        "sluice.part.b": f"{result('embed', 2).header.job_id}:0",
        "sluice.rule": "both",
    }
    assert (third.options["tenant"], third.options["case_id"]) == ("default", "c1")
    assert desk.handler.waiting == {CaseKey("default", "c1", "with-table")}
    assert desk.handler.counts == {
        "uploads": 1,
        "uploads_routed": 1,
        "outcomes": 2,
        "jobs": 3,
        "joins": 1,
    }


def test_outcomes_that_are_published_again_start_nothing() -> None:
    desk = Desk()
    for _ in range(3):
        desk.handle(desk.outcome(result("echo", 1)), desk.outcome(result("embed", 2)))
    assert len(desk.recorder.jobs) == 1


def test_cases_and_tenants_are_never_joined_with_each_other() -> None:
    desk = Desk()
    desk.handle(
        desk.outcome(result("echo", 1, case_id="c1")),
        desk.outcome(result("embed", 2, case_id="c2")),
        desk.outcome(result("embed", 3, case_id="c1", tenant="other")),
    )
    assert desk.recorder.jobs == []


def test_a_join_waits_for_an_upload_too() -> None:
    desk = Desk()
    desk.handle(desk.upload(upload("u5", kind="table")), desk.outcome(result("echo", 1)))
    assert [(job.rule, job.input) for job in desk.recorder.jobs] == [("with-table", {"message": "file:///x"})]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_batch_that_kafka_does_not_take_is_kept_nowhere_and_makes_the_same_jobs_again(failing: int) -> None:
    desk = Desk()
    desk.handle(desk.outcome(result("echo", 1)))
    desk.handler.handle([desk.outcome(result("embed", 2))])
    part, before = desk.part(desk.recorder.pieces[-1]), dict(desk.state)
    desk.recorder.raises = [*[None] * failing, Unreachable("Kafka is away")]
    with pytest.raises(Unreachable):
        desk.handler.handle([part])
    assert desk.state == before
    assert desk.handler.counts["joins"] == 0
    desk.handler.handle([part])
    assert len(set(desk.keys())) == 1
    assert desk.handler.counts["joins"] == 1


def test_a_record_that_is_not_decodable_is_a_dead_letter_and_the_next_is_handled() -> None:
    desk = Desk()
    desk.handle(
        desk.record("uploads", b"junk"),
        desk.record("outcomes.echo", b"\x00\x00\x00\x00\x09junk"),
        desk.record("join-parts", b"junk"),
        desk.record("outcomes.echo", None),
        desk.upload(upload()),
    )
    assert [(record.topic, error.code) for record, error in desk.recorder.dead] == [
        ("uploads", "UNDECODABLE"),
        ("outcomes.echo", "UNKNOWN_SCHEMA"),
        ("join-parts", "UNDECODABLE"),
    ]
    assert len(desk.recorder.jobs) == 2
    assert desk.handler.counts["unusable"] == 3


def test_a_job_that_is_refused_is_a_dead_letter_with_the_reason_and_is_not_tried_again() -> None:
    desk = Desk()
    desk.recorder.refuse = {"both": InvalidInput("The input does not fit.")}
    desk.handle(desk.outcome(result("echo", 1)), desk.outcome(result("embed", 2)))
    assert [error.message for _, error in desk.recorder.dead] == ["The input does not fit."]
    assert desk.handler.counts["refused"] == 1
    desk.handle(desk.outcome(result("embed", 2)))
    assert len(desk.recorder.dead) == 1


def test_a_part_of_a_rule_that_was_removed_is_counted() -> None:
    old = Desk()
    old.handler.handle([old.outcome(result("echo", 1))])
    new = Desk('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "x" } }]')
    new.handler.handle([new.part(piece) for piece in old.recorder.pieces])
    assert new.handler.counts["parts_without_rule"] == 2
    assert new.state == {}


def test_state_is_read_back_and_old_parts_of_owned_partitions_are_forgotten() -> None:
    now = [1000.0]
    desk = Desk(clock=lambda: now[0])
    desk.handle(desk.outcome(result("echo", 1)))
    desk.handler.waiting.clear()
    desk.handler.recount()
    assert {case.rule for case in desk.handler.waiting} == {"both", "with-table"}
    now[0] += 31 * 86_400
    assert desk.handler.expired(lambda partition: partition == 1) == []
    expired = desk.handler.expired(lambda partition: partition == 0)
    assert [(entry.value, entry.partition) for entry in expired] == [(None, 0)] * 2
    desk.handler.forget(expired)
    assert desk.state == {}
    assert desk.handler.waiting == set()
    assert desk.recorder.kept[-2:] == expired


def test_state_has_the_partition_of_its_case() -> None:
    desk = Desk()
    desk.handler.handle([desk.outcome(result("echo", 1))])
    desk.handler.handle([desk.part(desk.recorder.pieces[0])._replace(partition=7)])
    (kept,) = desk.recorder.kept
    assert kept.partition == 7
    assert kept.value is not None
    assert load(kept.value)["p"] == 7
