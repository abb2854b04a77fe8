"""The door of brain tumour inference: requests by JSON and by form, their states, files and errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from gateway.brain_tumour.catalogue import CALLBACK_URL
from gateway.http_limits import SMALL
from tests.unit.gateway.hospital_kit import NIFTI, Hospital

M1: dict[str, Any] = {"ai_req_id": "ai_req_0001", "model": "M1", "patient_id": "P-1"}
MG: dict[str, Any] = {"ai_req_id": "ai_req_0002", "model": "MG", "patient_id": "P-1"}


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with Hospital() as hospital:
        yield hospital


@pytest.fixture(scope="module")
def door() -> Iterator[Hospital]:
    """A hospital for the tests that start no job."""
    with Hospital() as hospital:
        yield hospital


def test_an_inference_is_pending_then_completed_with_its_result_files_and_times(hospital: Hospital) -> None:
    accepted = hospital.post(file=NIFTI, **M1, threshold="0.25")
    assert accepted.status_code == 202
    job_id = accepted.json()["job_id"]
    assert accepted.json() == {"ai_req_id": "ai_req_0001", "job_id": job_id, "status": "PENDING"}
    before = hospital.inference("ai_req_0001")
    assert (before["status"], before["result"], before["files"], before["error"]) == ("PENDING", None, [], None)
    assert before["finished_at"] is None

    hospital.flow.settle()
    after = hospital.inference("ai_req_0001")
    assert {name: after[name] for name in ("ai_req_id", "job_id", "model", "patient_id", "status", "error")} == {
        "ai_req_id": "ai_req_0001",
        "job_id": job_id,
        "model": "M1",
        "patient_id": "P-1",
        "status": "COMPLETED",
        "error": None,
    }
    assert (after["result"]["lesion_volume_mm3"], after["result"]["threshold"]) == (1250.0, 0.25)
    assert not {"mask", "overlay"} & set(after["result"])
    assert [file["name"] for file in after["files"]] == [
        "mask.nii.gz",
        "probability.nii.gz",
        "overlay.png",
        "report.json",
    ]
    for time in (after["created_at"], after["finished_at"]):
        assert time.endswith("Z")
        assert datetime.fromisoformat(time).utcoffset() is not None
    overlay = hospital.get(after["files"][2]["url"])
    assert (overlay.content, overlay.headers["content-type"]) == (b"\x89PNG" + NIFTI, "image/png")


def test_a_file_is_answered_by_its_name_once_the_inference_has_ended(hospital: Hospital) -> None:
    path = "/api/ai/inferences/ai_req_0002/files/predictions.csv"
    assert hospital.get(path).status_code == 404
    hospital.post(file=b"gene,1\n", **MG)
    waiting = hospital.get(path)
    assert (waiting.status_code, waiting.json()["code"]) == (409, "NOT_FINISHED")
    hospital.flow.settle()
    assert hospital.get(path).content == b"sample,class\n"
    assert hospital.get(path.replace("predictions", "nothing")).status_code == 404


def test_a_file_that_was_uploaded_before_is_named_by_its_id(hospital: Hospital) -> None:
    async def use(client: httpx.AsyncClient) -> httpx.Response:
        upload = await client.post("/v1/uploads", content=b"gene,1\n", params={"case_id": "P-1"})
        return await client.post("/api/ai/inferences/", json={**MG, "upload_id": upload.json()["upload_id"]})

    assert hospital.visit(use).status_code == 202
    hospital.flow.settle()
    assert hospital.inference("ai_req_0002")["status"] == "COMPLETED"


def test_a_failed_inference_names_its_error(hospital: Hospital) -> None:
    failed = hospital.done(file=b"no volume", **M1)
    assert (failed["status"], failed["result"], failed["files"]) == ("FAILED", None, [])
    assert failed["error"] == {"code": "INVALID_INPUT", "message": "The volume is neither NIfTI nor DICOM."}


def test_a_cancelled_inference_is_failed_and_says_so(hospital: Hospital) -> None:
    job = hospital.post(file=NIFTI, **M1).json()["job_id"]
    hospital.flow.cancel(job)
    hospital.flow.settle()
    cancelled = hospital.inference("ai_req_0001")
    assert (cancelled["status"], cancelled["error"]["code"]) == ("FAILED", "CANCELLED")


def test_a_repeated_ai_req_id_is_the_same_job_and_another_request_under_it_is_refused(hospital: Hospital) -> None:
    first = hospital.post(file=NIFTI, **M1).json()
    hospital.flow.settle()
    again = hospital.post(file=NIFTI, **M1)
    assert (again.status_code, again.json()) == (202, first | {"status": "COMPLETED"})
    for other in ({"patient_id": "P-2"}, {"threshold": "0.1"}, {"model": "MG"}):
        refused = hospital.post(file=NIFTI, **M1 | other)
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT"), other
    assert hospital.post(file=NIFTI + b"2", **M1).status_code == 409
    hospital.flow.settle()
    assert len(hospital.flow.outcomes("mri")) == 1


def test_the_result_goes_to_the_backends_own_address_unless_the_request_names_another(hospital: Hospital) -> None:
    hospital.post(file=NIFTI, **M1)
    hospital.post(file=b"gene,1\n", **MG, callback_url="http://127.0.0.1:8000/other/?ward=3")
    hospital.flow.settle()
    called = {call.event["data"]["external_id"]: call.url for call in hospital.flow.callbacks}
    assert called == {"ai_req_0001": CALLBACK_URL, "ai_req_0002": "http://127.0.0.1:8000/other/?ward=3"}


def test_a_tenant_sees_its_own_inferences_only(hospital: Hospital) -> None:
    mine = hospital.post(tenant="clinic", file=NIFTI, **M1).json()
    theirs = hospital.post(tenant="other", file=NIFTI, **M1).json()
    assert mine["job_id"] != theirs["job_id"]
    assert hospital.get("/api/ai/inferences/ai_req_0001/").status_code == 404


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ai_req_id": "../x"}, "ai_req_id"),
        ({"model": "M2"}, "model"),
        ({"patient_id": "a/b"}, "patient_id"),
        ({"threshold": 1.5}, "threshold"),
        ({"sample": "s1"}, "M1 does not take sample"),
        ({"unknown": "x"}, "unknown"),
        ({}, "M1 needs a file"),
        ({"upload_id": "nothing"}, "upload_id names no upload"),
        ({"upload_id": "019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10"}, "upload_id names no upload"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_and_says_why(fields: Any, says: str, door: Hospital) -> None:
    answer = door.post(**M1 | fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert answer.json()["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    ("url", "says"), [("ftp://localhost/x", "callback URL"), ("http://10.0.0.7/x", "SLUICE_CALLBACK_ALLOW")]
)
def test_a_callback_url_that_cannot_work_is_refused_at_once(url: str, says: str, door: Hospital) -> None:
    answer = door.post(file=NIFTI, **M1, callback_url=url)
    assert (answer.status_code, says in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 422),
        (b" " * (SMALL + 1), "application/json", 413),
        (b"x=1", "application/x-www-form-urlencoded", 422),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=b", 400),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(content: bytes, kind: str, status: int, door: Hospital) -> None:
    async def use(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/ai/inferences/", content=content, headers={"Content-Type": kind})

    answer = door.visit(use)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_a_form_has_each_field_once_and_one_file_under_its_name(door: Hospital) -> None:
    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        forms: list[dict[str, Any]] = [
            {"data": M1, "files": {"volume": NIFTI}},
            {"data": M1, "files": [("file", NIFTI), ("file", NIFTI)]},
            {"data": {**M1, "model": ["M1", "MG"]}, "files": {"file": NIFTI}},
            {"data": {**M1, "file": "a text"}, "files": {"other": b""}},
            {"data": {**M1, "upload_id": "x"}, "files": {"file": NIFTI}},
        ]
        return [await client.post("/api/ai/inferences/", **form) for form in forms]

    assert [answer.status_code for answer in door.visit(use)] == [422, 400, 422, 422, 422]


def test_a_form_over_the_limit_of_uploads_is_refused_and_nothing_is_kept() -> None:
    with Hospital(upload_max_bytes=1000) as hospital:
        assert hospital.post(file=NIFTI * 1000, **M1).status_code == 413
        assert hospital.get("/api/ai/inferences/ai_req_0001/").status_code == 404


def test_the_door_is_closed_unless_a_setting_opens_it() -> None:
    with Hospital(gateway_brain_tumour=False) as hospital:
        assert hospital.post(**M1).status_code == 404
        assert hospital.get("/api/ai/inferences/ai_req_0001/").status_code == 404


def test_a_request_without_a_token_is_refused_before_its_body_is_read(door: Hospital) -> None:
    async def use(client: httpx.AsyncClient) -> httpx.Response:
        del client.headers["Authorization"]
        return await client.post("/api/ai/inferences/", content=b"{", headers={"Content-Type": "application/json"})

    assert door.visit(use).status_code == 401


def test_a_model_whose_processor_is_not_served_is_refused_with_the_setting_that_serves_it() -> None:
    with Hospital(processors=("mri",)) as hospital:
        answer = hospital.post(file=b"gene,1\n", **MG)
    assert (answer.status_code, answer.json()["code"]) == (422, "UNKNOWN_PROCESSOR")
    assert "MG needs the processor 'gene-expression'" in answer.json()["detail"]
    assert "SLUICE_PROCESSORS" in answer.json()["next_step"]
