"""MM takes what a person chose, of one patient, and biomarker orders that are ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from processors.mri.contract import MriInput
from schemas.records import Claim
from streams import wiring
from tests.unit.gateway.hospital_kit import NIFTI, Hospital, Multimodal

MM: dict[str, Any] = {"ai_req_id": "ai_req_0009", "model": "MM", "patient_id": "P-1"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Hospital]:
    """Yield a hospital that all of these tests share: each uses patients of its own."""
    with Hospital() as made:
        for n, patient in enumerate(("P-1", "P-2")):
            made.post(file=NIFTI, ai_req_id=f"m1-{n}", model="M1", patient_id=patient)
            made.post(file=b"gene,1\n", ai_req_id=f"mg-{n}", model="MG", patient_id=patient)
        made.flow.settle()
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    Multimodal.seen.clear()
    return shared


def ids(shared: Hospital, patient_id: str, tenant: str = "default") -> dict[str, list[str]]:
    listed = shared.get(f"/api/ai/patients/{patient_id}/mm-inputs/", tenant).json()
    assert listed["patient_id"] == patient_id
    names = {"m1": "ai_req_id", "mg": "ai_req_id", "biomarkers": "upload_id"}
    return {part: [one[name] for one in listed[part]] for part, name in names.items()}


def test_the_listing_shows_a_patients_completed_results_and_ready_orders_newest_first(hospital: Hospital) -> None:
    confirmed = hospital.order("P-1")
    ready = hospital.order("P-1", ocs_status="RESULT_READY")
    for labels in (
        {"job_role": "RIS"},
        {"job_role": ""},
        {"job_type": "IMAGING"},
        {"ocs_status": "REQUESTED"},
        {"ocs_status": "confirmed"},
    ):
        hospital.order("P-1", **labels)
    hospital.order("P-1", kind="mr-volume")
    hospital.order("P-1", tenant="another")
    hospital.order("P-2")
    hospital.order(None)
    assert ids(hospital, "P-1") == {"m1": ["m1-0"], "mg": ["mg-0"], "biomarkers": [ready, confirmed]}
    assert ids(hospital, "P-1", "another")["m1"] == []
    assert ids(hospital, "P-unknown") == {"m1": [], "mg": [], "biomarkers": []}


def test_a_result_is_listed_once_it_is_completed(hospital: Hospital) -> None:
    hospital.post(file=NIFTI, ai_req_id="m1-waits", model="M1", patient_id="P-3")
    hospital.done(file=b"no volume", ai_req_id="m1-fails", model="M1", patient_id="P-4")
    assert ids(hospital, "P-4")["m1"] == []
    assert ids(hospital, "P-3")["m1"] == ["m1-waits"]
    # A job of the same processor that did not come through this door has no ai_req_id.
    hospital.flow.submit("mri", MriInput(claim(hospital)), case_id="P-5", external_id="elsewhere")
    hospital.flow.settle()
    assert ids(hospital, "P-5")["m1"] == []


def claim(hospital: Hospital) -> Claim:
    return wiring.object_store(hospital.settings).put_bytes(NIFTI)


def test_mm_gets_the_values_of_what_a_person_chose(hospital: Hospital) -> None:
    order = hospital.order("P-1", ocs_status="RESULT_READY")
    made = hospital.done(
        **MM | {"ai_req_id": "all"}, m1_ai_req_id="m1-0", mg_ai_req_id="mg-0", biomarker_upload_id=order, age=61
    )
    assert (made["status"], made["result"]["used"], made["result"]["missing"]) == (
        "COMPLETED",
        ["mri", "genes", "proteins"],
        [],
    )
    [seen] = Multimodal.seen
    assert (seen.mri_volume_mm3, seen.gene_probability, seen.age, seen.sex) == (1250.0, 0.75, 61.0, None)
    assert [file["name"] for file in made["files"]] == ["report.json", "contributions.png"]
    assert hospital.flow.job(made["job_id"]).labels["m1_ai_req_id"] == "m1-0"


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        ({"m1_ai_req_id": "m1-0"}, ["genes", "proteins"]),
        ({"mg_ai_req_id": "mg-0"}, ["mri", "proteins"]),
        ({"m1_ai_req_id": "m1-0", "mg_ai_req_id": "mg-0"}, ["proteins"]),
    ],
)
def test_an_input_may_be_missing_and_is_named(chosen: Any, missing: list[str], hospital: Hospital) -> None:
    made = hospital.done(**MM | {"ai_req_id": f"without-{'-'.join(missing)}"}, **chosen)
    assert (made["status"], made["result"]["missing"]) == ("COMPLETED", missing)


def test_the_table_of_an_order_may_come_with_the_request_if_the_order_is_ready(hospital: Hospital) -> None:
    fields = MM | {"ai_req_id": "with-table", "job_role": "LIS", "job_type": "BIOMARKER", "ocs_status": "RESULT_READY"}
    made = hospital.done(file=b"name,value,unit\n", **fields)
    assert made["result"]["used"] == ["proteins"]
    refused = hospital.post(file=b"name,value,unit\n", **fields | {"ai_req_id": "no-role", "job_role": "RIS"})
    assert (refused.status_code, refused.json()["code"]) == (422, "NOT_ELIGIBLE")


@pytest.mark.parametrize("field", ["m1_ai_req_id", "mg_ai_req_id", "biomarker_upload_id"])
def test_inputs_are_never_joined_across_patients(field: str, hospital: Hospital) -> None:
    theirs: dict[str, Any] = {
        "m1_ai_req_id": "m1-1",
        "mg_ai_req_id": "mg-1",
        "biomarker_upload_id": hospital.order("P-2"),
    }
    mine: dict[str, Any] = {
        "m1_ai_req_id": "m1-0",
        "mg_ai_req_id": "mg-0",
        "biomarker_upload_id": hospital.order("P-1"),
    }
    answer = hospital.post(**MM | {"ai_req_id": f"across-{field}"}, **mine | {field: theirs[field]})
    assert (answer.status_code, answer.json()["code"]) == (422, "OTHER_PATIENT")
    assert "P-2" not in answer.text
    assert hospital.get(f"/api/ai/inferences/across-{field}/").status_code == 404


def test_an_order_without_a_patient_is_nobodys_to_join(hospital: Hospital) -> None:
    answer = hospital.post(**MM | {"ai_req_id": "no-patient"}, biomarker_upload_id=hospital.order(None))
    assert answer.json()["code"] == "OTHER_PATIENT"


@pytest.mark.parametrize(
    "labels",
    [
        {"job_role": "RIS"},
        {"job_role": ""},
        {"job_type": "IMAGING"},
        {"ocs_status": "CANCELLED"},
        {"kind": "mr-volume"},
    ],
)
def test_an_order_that_is_not_ready_is_refused(labels: dict[str, str], hospital: Hospital) -> None:
    order = hospital.order("P-1", **labels)
    answer = hospital.post(**MM | {"ai_req_id": "not-ready"}, m1_ai_req_id="m1-0", biomarker_upload_id=order)
    assert (answer.status_code, answer.json()["code"]) == (422, "NOT_ELIGIBLE")
    assert next(iter(labels)) in answer.json()["detail"]


@pytest.mark.parametrize(
    ("chosen", "status", "says"),
    [
        ({}, 422, "at least one"),
        ({"m1_ai_req_id": "unknown"}, 422, "names no inference of M1"),
        ({"m1_ai_req_id": "mg-0"}, 422, "names no inference of M1"),
        ({"biomarker_upload_id": "unknown"}, 422, "names no upload"),
        ({"upload_id": "x", "m1_ai_req_id": "m1-0"}, 422, "MM does not take upload_id"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(chosen: Any, status: int, says: str, hospital: Hospital) -> None:
    answer = hospital.post(**MM | {"ai_req_id": "unfit"}, **chosen)
    assert answer.status_code == status
    assert says in answer.text


def test_an_inference_that_has_not_ended_or_has_no_single_risk_is_no_input(hospital: Hospital) -> None:
    hospital.post(file=NIFTI, ai_req_id="m1-open", model="M1", patient_id="P-1")
    waiting = hospital.post(**MM | {"ai_req_id": "too-early"}, m1_ai_req_id="m1-open")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "NOT_FINISHED")
    hospital.done(file=b"gene,1\n", ai_req_id="mg-many", model="MG", patient_id="P-1", sample="all")
    several = hospital.post(**MM | {"ai_req_id": "several"}, mg_ai_req_id="mg-many")
    assert (several.status_code, "no single risk" in several.text) == (422, True)


def test_a_repeated_mm_request_is_the_same_job_and_another_choice_under_it_is_refused(hospital: Hospital) -> None:
    fields = MM | {"ai_req_id": "repeated", "m1_ai_req_id": "m1-0", "mg_ai_req_id": "mg-0"}
    first = hospital.post(**fields).json()
    assert hospital.post(**fields).json()["job_id"] == first["job_id"]
    other = hospital.post(**fields | {"mg_ai_req_id": None})
    assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
