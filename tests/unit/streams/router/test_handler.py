"""A batch is published before it is kept; bad records become dead letters and stop nothing."""

from __future__ import annotations

import pytest

from schemas.errors import InvalidInput, Unreachable
from streams.router.joins import CaseKey, load
from tests.unit.streams.router.kit import HandlerKit, result, upload


def test_an_upload_becomes_jobs_and_two_outcomes_become_the_next() -> None:
    kit = HandlerKit()
    kit.handle(kit.upload(upload()), kit.outcome(result("echo", 1)))
    assert [job.processor for job in kit.recorder.jobs] == ["segmentation", "echo"]
    assert len(kit.handler.waiting) == 2
    kit.handle(kit.outcome(result("embed", 2)))
    third = kit.recorder.jobs[-1]
    assert (third.rule, third.input) == ("both", {"message": "message 1"})
    assert third.options["labels"] == {
        "first": result("echo", 1).header.job_id,
        "sluice.part.a": f"{result('echo', 1).header.job_id}:0",
        "sluice.part.b": f"{result('embed', 2).header.job_id}:0",
        "sluice.rule": "both",
    }
    assert (third.options["tenant"], third.options["case_id"]) == ("default", "c1")
    assert kit.handler.waiting == {CaseKey("default", "c1", "with-table")}
    assert kit.handler.counts == {
        "uploads": 1,
        "uploads_routed": 1,
        "outcomes": 2,
        "jobs": 3,
        "joins": 1,
    }


def test_outcomes_that_are_published_again_start_nothing() -> None:
    kit = HandlerKit()
    for _ in range(3):
        kit.handle(kit.outcome(result("echo", 1)), kit.outcome(result("embed", 2)))
    assert len(kit.recorder.jobs) == 1


def test_cases_and_tenants_are_never_joined_with_each_other() -> None:
    kit = HandlerKit()
    kit.handle(
        kit.outcome(result("echo", 1, case_id="c1")),
        kit.outcome(result("embed", 2, case_id="c2")),
        kit.outcome(result("embed", 3, case_id="c1", tenant="other")),
    )
    assert kit.recorder.jobs == []


def test_a_join_waits_for_an_upload_too() -> None:
    kit = HandlerKit()
    kit.handle(kit.upload(upload("u5", kind="table")), kit.outcome(result("echo", 1)))
    (job,) = kit.recorder.jobs
    assert (job.rule, job.input["volume"]["uri"]) == ("with-table", "file:///x")


@pytest.mark.parametrize("failing", [0, 1])
def test_a_batch_that_kafka_does_not_take_is_kept_nowhere_and_makes_the_same_jobs_again(failing: int) -> None:
    kit = HandlerKit()
    kit.handle(kit.outcome(result("echo", 1)))
    kit.handler.handle([kit.outcome(result("embed", 2))])
    part, before = kit.part(kit.recorder.pieces[-1]), dict(kit.state)
    kit.recorder.raises = [*[None] * failing, Unreachable("Kafka is away")]
    with pytest.raises(Unreachable):
        kit.handler.handle([part])
    assert kit.state == before
    assert kit.handler.counts["joins"] == 0
    kit.handler.handle([part])
    assert len(set(kit.keys())) == 1
    assert kit.handler.counts["joins"] == 1


def test_a_record_that_is_not_decodable_is_a_dead_letter_and_the_next_is_handled() -> None:
    kit = HandlerKit()
    kit.handle(
        kit.record("uploads", b"junk"),
        kit.record("outcomes.echo", b"\x00\x00\x00\x00\x09junk"),
        kit.record("join-parts", b"junk"),
        kit.record("outcomes.echo", None),
        kit.upload(upload()),
    )
    assert [(record.topic, error.code) for record, error in kit.recorder.dead] == [
        ("uploads", "UNDECODABLE"),
        ("outcomes.echo", "UNKNOWN_SCHEMA"),
        ("join-parts", "UNDECODABLE"),
    ]
    assert len(kit.recorder.jobs) == 2
    assert kit.handler.counts["unusable"] == 3


def test_a_job_that_is_refused_is_a_dead_letter_with_the_reason_and_is_not_tried_again() -> None:
    kit = HandlerKit()
    kit.recorder.refuse = {"both": InvalidInput("The input does not fit.")}
    kit.handle(kit.outcome(result("echo", 1)), kit.outcome(result("embed", 2)))
    assert [error.message for _, error in kit.recorder.dead] == ["The input does not fit."]
    assert kit.handler.counts["refused"] == 1
    kit.handle(kit.outcome(result("embed", 2)))
    assert len(kit.recorder.dead) == 1


def test_a_part_of_a_rule_that_was_removed_is_counted() -> None:
    old = HandlerKit()
    old.handler.handle([old.outcome(result("echo", 1))])
    new = HandlerKit('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo", input = { message = "x" } }]')
    new.handler.handle([new.part(piece) for piece in old.recorder.pieces])
    assert new.handler.counts["parts_without_rule"] == 2
    assert new.state == {}


def test_state_is_read_back_and_old_parts_of_owned_partitions_are_forgotten() -> None:
    now = [1000.0]
    kit = HandlerKit(clock=lambda: now[0])
    kit.handle(kit.outcome(result("echo", 1)))
    kit.handler.waiting.clear()
    kit.handler.recount(lambda partition: partition == 0)
    assert {case.rule for case in kit.handler.waiting} == {"both", "with-table"}
    now[0] += 31 * 86_400
    assert kit.handler.expired(lambda partition: partition == 1) == []
    expired = kit.handler.expired(lambda partition: partition == 0)
    assert [(entry.value, entry.partition) for entry in expired] == [(None, 0)] * 2
    kit.handler.forget(expired)
    assert kit.state == {}
    assert kit.handler.waiting == set()
    assert kit.recorder.kept[-2:] == expired


def test_entries_of_partitions_that_another_router_has_are_dropped_from_memory_only() -> None:
    kit = HandlerKit()
    kit.handle(kit.outcome(result("echo", 1)))
    written = len(kit.recorder.kept)
    kit.handler.recount(lambda partition: partition == 1)
    assert kit.state == {}
    assert kit.handler.waiting == set()
    assert len(kit.recorder.kept) == written


def test_state_has_the_partition_of_its_case() -> None:
    kit = HandlerKit()
    kit.handler.handle([kit.outcome(result("echo", 1))])
    kit.handler.handle([kit.part(kit.recorder.pieces[0])._replace(partition=7)])
    (kept,) = kit.recorder.kept
    assert kept.partition == 7
    assert kept.value is not None
    assert load(kept.value)["p"] == 7
