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


def test_system_1_gets_one_json_body_with_the_files_of_m1_inside(store: ObjectStore) -> None:
    names = {
        "mask": "mask.nii.gz",
        "overlay": "overlay.png",
        "probabilities": "probabilities.npz",
        "report": "report.json",
    }
    files = {name: os.urandom(CHUNK + 1) if name == "mask" else name.encode() for name in names}
    output = {name: to_plain(store.put_bytes(data)) for name, data in files.items()}
    body = outcome("m1", external_id="ai_req_0001", output={**output, "result": {"volume_ml": 1.5}})
    request = received(send(body, example("brain_tumour"), store, processor="m1"))
    assert request.headers["Content-Type"] == "application/json"
    assert request.raw_path == "/cb"
    assert json.loads(request.body) == {
        "job_id": JOB,
        "ai_req_id": "ai_req_0001",
        "status": "COMPLETED",
        "model": "M1",
        "finished_at": "2026-01-02T03:04:05.678Z",
        "result": {"volume_ml": 1.5},
        "files": {names[name]: base64.b64encode(data).decode() for name, data in files.items()},
    }


def test_system_1_gets_the_files_of_mg_by_the_names_that_it_chose(store: ObjectStore) -> None:
    files = {"risk.json": b"{}", "plot.png": b"\x89PNG"}
    output = {"files": {name: to_plain(store.put_bytes(data)) for name, data in files.items()}}
    got = json.loads(received(send(outcome("mg", output=output), example("brain_tumour"), store, processor="mg")).body)
    assert got["files"] == {name: base64.b64encode(data).decode() for name, data in files.items()}
    assert (got["model"], got["status"], got["result"]) == ("MG", "COMPLETED", {})


def test_system_1_hears_of_an_error_with_a_limit_of_its_own() -> None:
    shapes = example("brain_tumour")
    body = outcome("m1", "FAILED", error_code="OUT_OF_MEMORY", error_message="No room.")
    got = json.loads(received(send(body, shapes, processor="m1")).body)
    assert got == {
        "job_id": JOB,
        "ai_req_id": None,
        "status": "FAILED",
        "model": "M1",
        "finished_at": "2026-01-02T03:04:05.678Z",
        "error_code": "OUT_OF_MEMORY",
        "error_message": "No room.",
    }
    limits = [message.timeout_s for message in shapes.profiles["brain-tumour-m1"].messages.values()]
    assert limits == [60, 10]


# ── system 5: progress, then completed or failed ──


def to_system_5(body: bytes) -> Any:
    request = received(send(body, example("video_analysis"), path="", processor="video"))
    assert (request.method, request.raw_path) == ("POST", "/api/upload-video/result")
    return json.loads(request.body)


def test_system_5_hears_of_progress() -> None:
    row = {
        "job_id": JOB,
        "processor": "video",
        "tenant": "t",
        "stage": "transcribe",
        "percent": 41.9,
        "message": "Half way",
    }
    expected = {"job_id": JOB, "status": "processing", "progress": 41, "message": "Half way"}
    assert to_system_5(progress_event(row)) == expected


def test_system_5_gets_a_result_and_no_error_when_it_is_completed() -> None:
    segments = [
        {"start": 0.0, "end": 1.5, "text": "안녕하세요", "speaker": "A", "confidence": 0.9},
        {"start": 1.5, "end": 2, "text": "hi"},
    ]
    output = {"text": "안녕하세요 hi", "segments": segments, "language": "ko", "duration": 2.0}
    numbers = {"processing_time": 0.4, "unique_speakers": 1, "total_segments": 2}
    assert to_system_5(outcome("video", output={**output, **numbers})) == {
        "job_id": JOB,
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
            "metadata": {"model_version": "1.2.0", **numbers},
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
    assert to_system_5(outcome("video", status, error_code=code, error_message=code and "Why.")) == {
        "job_id": JOB,
        "status": "failed",
        "progress": 0,
        "message": "Analysis failed",
        "error_message": "Why." if code else "The job ended without a message.",
        "error_code": stored,
    }
