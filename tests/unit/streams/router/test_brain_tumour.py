"""The join of deploy/rules/brain_tumour.toml: a patient's two results and an eligible biomarker order start one job."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import Upload
from streams.router.checks import checked_rules
from tests.harness.brain_tumour_join import RULES, order, outcome
from tests.unit.streams.router.kit import HandlerKit


@pytest.fixture
def kit() -> HandlerKit:
    return HandlerKit(RULES.read_text())


def results(kit: HandlerKit, **header: Any) -> None:
    """Let both of a patient's jobs complete."""
    kit.handle(kit.outcome(outcome("mri", 1, **header)), kit.outcome(outcome("gene-expression", 2, **header)))


def test_the_file_fits_the_processors_contracts() -> None:
    assert [rule.name for rule in checked_rules(RULES).join] == ["multimodal"]


@pytest.mark.parametrize("status", ["CONFIRMED", "RESULT_READY"])
def test_an_eligible_order_starts_the_job_with_the_patients_results(kit: HandlerKit, status: str) -> None:
    results(kit)
    assert kit.recorder.jobs == []
    kit.handle(kit.upload(order(ocs_status=status)))
    (job,) = kit.recorder.jobs
    assert job.processor == "multimodal"
    assert {name: job.input[name] for name in ("mri_volume_mm3", "gene_probability")} == {
        "mri_volume_mm3": 8200.0,
        "gene_probability": 0.7,
    }
    assert job.input["proteins"]["uri"] == "file:///x"
    assert (job.options["case_id"], job.options["tenant"]) == ("c1", "default")


@pytest.mark.parametrize(
    "made",
    [
        order(job_role="RIS"),
        order(job_role=""),
        order(job_type="PATHOLOGY"),
        order(ocs_status="ORDERED"),
        order(ocs_status="CANCELLED"),
        order(ocs_status="confirmed"),
        order(ocs_status=""),
        order(job_role="", job_type="", ocs_status=""),
        order(kind="mr-volume"),
    ],
    ids=lambda made: f"{made.kind} {made.labels}",
)
def test_an_order_that_is_not_eligible_starts_nothing(kit: HandlerKit, made: Upload) -> None:
    results(kit)
    kit.handle(kit.upload(made))
    assert kit.recorder.jobs == []


def test_an_order_whose_status_changes_starts_the_job_once_it_is_eligible(kit: HandlerKit) -> None:
    results(kit)
    kit.handle(kit.upload(order("u1", ocs_status="ORDERED")), kit.upload(order("u2", ocs_status="RESULT_READY")))
    assert len(kit.recorder.jobs) == 1


def test_patients_and_tenants_are_never_joined_with_each_other(kit: HandlerKit) -> None:
    results(kit, case_id="c1")
    kit.handle(kit.upload(order(case_id="c2")), kit.upload(order("u2", tenant="other")))
    kit.handle(kit.outcome(outcome("mri", 3, case_id="c2")), kit.outcome(outcome("gene-expression", 4, case_id="c3")))
    assert kit.recorder.jobs == []


def test_one_result_and_an_order_wait_for_the_other_result(kit: HandlerKit) -> None:
    kit.handle(kit.upload(order()), kit.outcome(outcome("mri", 1)))
    assert kit.recorder.jobs == []
    kit.handle(kit.outcome(outcome("gene-expression", 2, disposition="failed")))
    assert kit.recorder.jobs == []
    kit.handle(kit.outcome(outcome("gene-expression", 3)))
    assert len(kit.recorder.jobs) == 1
