"""Requests at the door of brain tumour inference that come twice, or with what no model takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.unit.gateway.hospital_kit import NIFTI, ORDER, Hospital

M1: dict[str, Any] = {"ai_req_id": "ai_req_0001", "model": "M1", "patient_id": "P-1"}
TABLE = b"name,value,unit\nkappa,1.9,mg/dL\n"


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    with Hospital() as hospital:
        yield hospital


def orders(hospital: Hospital, patient_id: str) -> int:
    return len(hospital.get(f"/api/ai/patients/{patient_id}/mm-inputs/").json()["biomarkers"])


def test_a_request_with_an_order_makes_one_order_however_often_it_is_sent(hospital: Hospital) -> None:
    asked = {"ai_req_id": "mm-1", "model": "MM", "patient_id": "P-twice", **ORDER}

    async def at_once(client: httpx.AsyncClient) -> list[int]:
        posts = [client.post("/api/ai/inferences/", data=asked, files={"file": TABLE}) for _ in range(4)]
        return [answer.status_code for answer in await asyncio.gather(*posts)]

    assert hospital.visit(at_once) == [202] * 4
    assert hospital.post(file=TABLE, **asked).status_code == 202
    hospital.flow.settle()
    assert hospital.post(file=TABLE, **asked).json()["status"] == "COMPLETED"
    assert orders(hospital, "P-twice") == 1
    assert len(hospital.flow.outcomes("multimodal")) == 1


def test_a_request_that_is_refused_leaves_no_order_behind(hospital: Hospital) -> None:
    asked = {"ai_req_id": "mm-2", "model": "MM", "patient_id": "P-refused", **ORDER}
    assert hospital.post(file=TABLE, **asked).status_code == 202
    assert hospital.post(file=TABLE + b"x", **asked).status_code == 409
    unknown = {**asked, "ai_req_id": "mm-3", "m1_ai_req_id": "not-there"}
    assert hospital.post(file=TABLE + b"y", **unknown).status_code == 422
    assert orders(hospital, "P-refused") == 1


def test_a_refused_request_can_be_sent_again_with_its_mistake_corrected(hospital: Hospital) -> None:
    asked = {"ai_req_id": "mm-4", "model": "MM", "patient_id": "P-wrong", **ORDER, "ocs_status": "REQUESTED"}
    assert hospital.post(file=TABLE, **asked).json()["code"] == "NOT_ELIGIBLE"
    corrected = {**asked, "patient_id": "P-right", "ocs_status": "CONFIRMED"}
    assert hospital.post(file=TABLE, **corrected).status_code == 202
    assert (orders(hospital, "P-wrong"), orders(hospital, "P-right")) == (0, 1)


def test_an_empty_file_is_refused_and_its_id_stays_free(hospital: Hospital) -> None:
    asked = M1 | {"ai_req_id": "empty"}
    refused = hospital.post(file=b"", **asked)
    assert (refused.status_code, refused.json()["detail"]) == (422, "The file is empty.")
    assert hospital.post(file=NIFTI, **asked).status_code == 202


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold": 0},
        {"threshold": 1},
        {"threshold": True},
        {"model": "MM", "age": 131},
        {"model": "MM", "age": True},
    ],
)
def test_a_number_that_the_processor_would_refuse_is_refused_at_the_door(
    fields: dict[str, Any], hospital: Hospital
) -> None:
    answer = hospital.post(**M1 | fields)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", next(reversed(fields))]]
