"""The bodies that two real backends are called with today, from the example profiles, against a real HTTP server."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from connectors.callbacks.body import progress_event
from connectors.callbacks.file_body import CHUNK
from connectors.callbacks.profile import CallbackProfiles
from connectors.callbacks.profile_file import callback_profiles
from connectors.objects import ObjectStore
from gateway.brain_tumour.catalogue import MODELS, TumourModel
from schemas.plain import to_plain
from tests.harness.shaped_callbacks import JOB, outcome, received, send
from tests.harness.source_tree import ROOT

EXAMPLES = ROOT / "docs" / "callback_shapes"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path}/objects")


def example(name: str) -> CallbackProfiles:
    return callback_profiles(EXAMPLES / f"{name}.toml")


# ── system 1: one JSON body with the files inside ──


OUTPUTS: dict[str, dict[str, Any]] = {
    "mri": {
        "lesion_volume_mm3": 1250.5,
        "lesion_count": 2,
        "slice_areas_mm2": [0.0, 12.5],
        "threshold": 0.5,
        "voxel_mm3": 1.0,
        "shape": [2, 2, 2],
    },
    "gene-expression": {
        "samples": 1,
        "predicted_class": "Basal",
        "classes": ["Basal", "LumA"],
        "probabilities": [0.9, 0.1],
        "risk": 0.9,
        "risk_classes": ["Basal"],
        "genes_used": 50,
        "genes_missing": 0,
        "warnings": [],
    },
    "multimodal": {
        "risk": 0.4,
        "risk_low": 0.3,
        "risk_high": 0.5,
        "used": ["mri"],
        "missing": ["proteins"],
        "outside": [],
        "contributions": {"mri": 0.2},
    },
}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_system_1_gets_one_json_body_with_the_files_of_each_model_inside(
    model: TumourModel, store: ObjectStore
) -> None:
    files = {
        field: os.urandom(CHUNK + 1) if field == "mask" else name.encode() for field, name in model.file_names.items()
    }
    output = OUTPUTS[model.processor] | {field: to_plain(store.put_bytes(data)) for field, data in files.items()}
    body = outcome(model.processor, external_id="ai_req_0001", case_id="P-1", output=output)
    request = received(send(body, example("brain_tumour"), store, processor=model.processor))
    assert (request.headers["Content-Type"], request.raw_path) == ("application/json", "/cb")
    assert json.loads(request.body) == {
        "ai_req_id": "ai_req_0001",
        "job_id": JOB,
        "patient_id": "P-1",
        "model": model.name,
        "status": "COMPLETED",
        "finished_at": "2026-01-02T03:04:05.678Z",
        "result": OUTPUTS[model.processor],
        "files": {model.file_names[field]: base64.b64encode(data).decode() for field, data in files.items()},
    }


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_system_1_hears_of_an_error_with_a_limit_of_its_own(model: TumourModel) -> None:
    shapes = example("brain_tumour")
    row = {"external_id": "ai_req_0001", "case_id": "P-1", "error_code": "OUT_OF_MEMORY", "error_message": "No room."}
    assert json.loads(
        received(send(outcome(model.processor, "FAILED", **row), shapes, processor=model.processor)).body
    ) == {
        "ai_req_id": "ai_req_0001",
        "job_id": JOB,
        "patient_id": "P-1",
        "model": model.name,
        "status": "FAILED",
        "finished_at": "2026-01-02T03:04:05.678Z",
        "error_code": "OUT_OF_MEMORY",
        "error_message": "No room.",
    }
    profile = shapes.profiles[f"brain-tumour-{model.name.lower()}"]
    assert [message.timeout_s for message in profile.messages.values()] == [60, 10]


# ── system 5: progress, then completed or failed ──

#: The backend's own id of a job.
FILM = "5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d"


def to_system_5(body: bytes) -> Any:
    request = received(send(body, example("video_analysis"), path="", processor="video"))
    assert (request.method, request.raw_path) == ("POST", "/api/upload-video/result")
    return json.loads(request.body)


def test_system_5_hears_of_progress() -> None:
    row = {
        "job_id": JOB,
        "external_id": FILM,
        "processor": "video",
        "tenant": "t",
        "stage": "transcribing",
        "percent": 41.9,
        "message": "",
    }
    expected = {"job_id": FILM, "status": "processing", "progress": 41, "message": "transcribing"}
    assert to_system_5(progress_event(row)) == expected
    assert to_system_5(progress_event(row | {"stage": ""}))["message"] == "Processing"


def test_system_5_gets_a_result_and_no_error_when_it_is_completed() -> None:
    segments = [
        {"start": 0.0, "end": 1.5, "text": "안녕하세요", "speaker": "A", "confidence": 0.9},
        {"start": 1.5, "end": 2, "text": "hi"},
    ]
    metadata = {"model_version": "1+base", "processing_time": 0.4, "unique_speakers": 1, "total_segments": 2}
    output = {"text": "안녕하세요 hi", "segments": segments, "language": "ko", "duration": 2.0, "metadata": metadata}
    assert to_system_5(outcome("video", external_id=FILM, output={**output, "emotion": "not available"})) == {
        "job_id": FILM,
        "status": "completed",
        "progress": 100,
        "message": "Analysis completed",
        "result": {
            "text": "안녕하세요 hi",
            "segments": [
                {"start": 0.0, "end": 1.5, "text": "안녕하세요", "speaker": "A"},
                {"start": 1.5, "end": 2, "text": "hi"},
            ],
            "language": "ko",
            "duration": 2.0,
            "metadata": metadata,
        },
    }


@pytest.mark.parametrize(
    ("status", "code", "stored"),
    [
        ("FAILED", "TIMEOUT_ERROR", "TIMEOUT_ERROR"),
        ("EXPIRED", "DEADLINE_EXCEEDED", "TIMEOUT_ERROR"),
        ("FAILED", "CONNECTION_ERROR", "CONNECTION_ERROR"),
        ("FAILED", "OUT_OF_MEMORY", "ML_SERVER_ERROR"),
        ("CANCELLED", None, "ML_SERVER_ERROR"),
    ],
)
def test_system_5_gets_an_error_that_it_knows_and_no_result_when_it_failed(
    status: str, code: str | None, stored: str
) -> None:
    row = {"external_id": FILM, "error_code": code, "error_message": code and "Why."}
    assert to_system_5(outcome("video", status, **row)) == {
        "job_id": FILM,
        "status": "failed",
        "progress": 0,
        "message": "Analysis failed",
        "error_message": "Why." if code else "The job ended without a message.",
        "error_code": stored,
    }
