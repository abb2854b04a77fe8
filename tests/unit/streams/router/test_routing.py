"""Which jobs and parts follow from a record, and that their ids are the same each time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.errors import InvalidInput
from schemas.records import Claim, Upload
from streams.router.matching import matches
from streams.router.routing import NoJob, RoutedJob, Routing
from streams.router.rules import UploadMatch
from streams.router.templates import drawn, filled
from tests.unit.streams.router.kit import result, rules, upload

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def jobs(made: Upload, text: str | None = None) -> list[RoutedJob]:
    found = Routing(rules() if text is None else rules(text)).jobs_of_upload(made, NOW)
    return [job for job in found if isinstance(job, RoutedJob)]


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"kind": "mr"}, True),
        ({"kind": "m"}, False),
        ({"kind": ["ct", "m*"]}, True),
        ({"filename": "*.NII"}, True),
        ({"filename": "*.gz"}, False),
        ({"content_type": "Application/*"}, True),
        ({"content_type": "text/*"}, False),
        ({"source": "sluice/*"}, False),
        ({"min_size": 10, "max_size": 10}, True),
        ({"min_size": 11}, False),
        ({"labels": {"role": "LIS"}}, True),
        ({"labels": {"role": "L"}}, False),
        ({"labels": {"role": ["RIS", "L*"], "status": "CONF*"}}, True),
        ({"labels": {"role": "LIS", "status": "ORDERED"}}, False),
        ({"labels": {"absent": "*"}}, False),
        ({"max_size": 9}, False),
        ({"kind": "mr", "filename": "*.gz"}, False),
    ],
)
def test_all_conditions_that_are_given_must_hold(conditions: dict[str, object], holds: bool) -> None:
    plain = {
        "kind": "mr",
        "filename": "Scan.nii",
        "source": "",
        "labels": {"role": "LIS", "status": "CONFIRMED"},
        "claim": {"size": 10, "content_type": "application/x-nifti; a=b"},
    }
    assert matches(UploadMatch.model_validate(conditions), plain) is holds


def test_an_upload_fans_out_with_its_tenant_case_and_id() -> None:
    first, second = jobs(upload(tenant="t"))
    assert (first.processor, second.processor) == ("segmentation", "echo")
    assert first.input == {
        "volume": {"uri": "file:///x", "sha256": "ab" * 32, "size": 10, "content_type": "application/octet-stream"}
    }
    assert second.input == {"message": "scan.nii"}
    for job in (first, second):
        assert (job.options["tenant"], job.options["case_id"], job.options["upload_id"]) == ("t", "c1", "u1")
        assert job.options["labels"] == {"sluice.rule": "volumes"}


def test_an_upload_that_matches_nothing_makes_no_job() -> None:
    assert jobs(upload(kind="ct")) == []


def test_the_key_differs_by_upload_rule_and_job_and_is_the_same_each_time() -> None:
    keys = [job.options["idempotency_key"] for made in (upload("u1"), upload("u2")) for job in jobs(made)]
    assert len(set(keys)) == 4
    assert [job.options["idempotency_key"] for job in jobs(upload("u1"))] == keys[:2]
    assert all(len(str(key)) < 256 for key in (job.options["idempotency_key"] for job in jobs(upload("u" * 5000))))


def test_options_may_be_literals_and_paths() -> None:
    text = """
[[upload]]
name = "r"
tenant = "t*"
[[upload.submit]]
processor = "echo"
input = { message = "$$5" }
lane = "bulk"
deadline = "2h"
order_key = "$case_id"
external_id = "$upload.upload_id"
labels = { kind = "$upload.kind", fixed = "x" }
max_attempts = 2
callback_profile = "p"
"""
    (job,) = jobs(upload(tenant="two"), text)
    assert job.input == {"message": "$5"}
    expected = {
        "lane": "bulk",
        "deadline": NOW + timedelta(hours=2),
        "order_key": "c1",
        "external_id": "u1",
        "labels": {"kind": "mr", "fixed": "x", "sluice.rule": "r"},
        "max_attempts": 2,
        "callback_profile": "p",
    }
    assert job.options.items() >= expected.items()
    assert jobs(upload(tenant="one"), text.replace('"t*"', '"t"')) == []


def test_a_path_without_a_value_refuses_its_job_and_no_other() -> None:
    text = """
[[upload]]
name = "r"
submit = [
  { processor = "echo", name = "bad", input = { message = "$upload.case_id.x" } },
  { processor = "echo", input = { message = "hi" } },
]
"""
    bad, good = Routing(rules(text)).jobs_of_upload(upload())
    assert isinstance(bad, NoJob)
    assert "$upload.case_id.x has no value here" in bad.error.message
    assert isinstance(good, RoutedJob)


def test_a_template_is_filled_at_any_depth_and_values_keep_their_type() -> None:
    data = {"a": [{"b": 5}], "c": None}
    values = drawn({"r.a.0.b", "r.c", "r.a.1.b", "r.a.x", "other.a"}, "r", data)
    assert values == {"r.a.0.b": 5, "r.c": None}
    assert filled({"x": ["$r.a.0.b", {"y": "$r.c"}], "z": 1.5}, values) == {"x": [5, {"y": None}], "z": 1.5}
    with pytest.raises(InvalidInput):
        filled("$r.a.1.b", values)


def test_a_completed_live_job_with_a_case_is_a_part() -> None:
    routing = Routing(rules())
    both, table = routing.pieces_of_outcome(result("echo", 3))
    assert (both.case.rule, both.source, table.case.rule) == ("both", "a", "with-table")
    assert both.part.values == {"a.output.message": "message 3", "a.header.job_id": result("echo", 3).header.job_id}
    for made in (
        result("echo", disposition="failed"),
        result("echo", case_id=None),
        result("echo", mode="shadow"),
        result("echo", mode="replay"),
    ):
        assert routing.pieces_of_outcome(made) == []


def test_a_job_of_a_rule_is_no_part_of_the_same_rule() -> None:
    pieces = Routing(rules()).pieces_of_outcome(result("echo", labels={"sluice.rule": "both"}))
    assert [piece.case.rule for piece in pieces] == ["with-table"]


def test_replays_count_if_the_rule_says_so() -> None:
    text = """
[[join]]
name = "j"
replays = true
of.a.processor = "echo"
of.b.processor = "embed"
submit = [{ processor = "echo", input = { message = "x" } }]
"""
    assert len(Routing(rules(text)).pieces_of_outcome(result("echo", mode="replay", run=1))) == 1


def test_an_upload_of_a_kind_is_a_part() -> None:
    (piece,) = Routing(rules()).pieces_of_upload(upload("u9", kind="table", claim=Claim("s3://t", "cd" * 32, 1)))
    assert (piece.source, piece.part.id, piece.part.values["table.claim"]["uri"]) == ("table", "u9", "s3://t")
    assert Routing(rules()).pieces_of_upload(upload(kind="table", case_id=None)) == []
