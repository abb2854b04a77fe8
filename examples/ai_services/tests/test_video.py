"""The upload backend: its own door, what it asks of the ML server, callbacks in every order, and pages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests.kit import BACKEND_URL, Gateway, backend

RESULT = {
    "text": "Hello. <b>안녕하세요</b>",
    "segments": [
        {"start": 0.5, "end": 1.5, "text": "Hello.", "speaker": "SPEAKER_00"},
        {"start": 61.25, "end": 62.0, "text": "<b>안녕하세요</b>"},
    ],
    "language": "en",
    "duration": 301.0,
    "metadata": {"model_version": "1+tiny.en", "processing_time": 12.5, "unique_speakers": 1, "total_segments": 2},
}


@pytest.fixture(autouse=True, scope="module")
def films(data: Path) -> None:
    folder = data / "films" / "2026"
    folder.mkdir(parents=True)
    (folder / "김 하늘.mp4").write_bytes(b"0123456789")
    (data / "secret.txt").write_text("no film")


def started(client: httpx.Client, key: str = "2026/김 하늘.mp4") -> str:
    answer = client.post("/api/upload-video/request-process", json={"fileKey": key})
    assert (answer.status_code, answer.json()["status"]) == (200, "processing"), answer.text
    return str(answer.json()["job_id"])


def called(client: httpx.Client, job_id: str, expected: int = 204, **body: Any) -> None:
    answer = client.post("/api/upload-video/result", json={"job_id": job_id, **body})
    assert answer.status_code == expected, answer.text


def progress(client: httpx.Client, job_id: str, percent: int, expected: int = 204) -> None:
    called(client, job_id, expected, status="processing", progress=percent, message="Transcribing")


def job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    return client.get(f"/api/upload-video/jobs/{job_id}").json()


def test_a_film_is_sent_with_an_address_where_the_worker_can_fetch_it(client: httpx.Client, sluice: Gateway) -> None:
    job_id = started(client)
    [(method, path, body)] = sluice.asked
    assert (method, path) == ("POST", "/api/upload-video/process-video")
    assert UUID(body["job_id"]) == UUID(job_id)
    assert body["fastapi_base_url"] == BACKEND_URL
    film = client.get(body["video_url"].removeprefix(BACKEND_URL), headers={"Range": "bytes=2-4"})
    assert (film.status_code, film.content) == (206, b"234")


@pytest.mark.parametrize("key", ["../secret.txt", "/etc/passwd", "nothing.mp4", "2026"])
def test_only_files_of_the_folder_are_films(key: str, client: httpx.Client, sluice: Gateway) -> None:
    assert client.post("/api/upload-video/request-process", json={"fileKey": key}).status_code == 404
    assert sluice.asked == []


def test_progress_then_the_result_is_shown_by_speaker(client: httpx.Client) -> None:
    job_id = started(client)
    progress(client, job_id, 40)
    assert {name: job(client, job_id)[name] for name in ("state", "progress", "message")} == {
        "state": "PROCESSING",
        "progress": 40,
        "message": "Transcribing",
    }
    called(client, job_id, status="completed", progress=100, message="Analysis completed", result=RESULT)
    progress(client, job_id, 90)  # late: it changes nothing
    called(client, job_id, status="failed", progress=0, message="x", error_code="TIMEOUT_ERROR", error_message="x")
    found = job(client, job_id)
    assert (found["state"], found["progress"], found["result"]) == ("COMPLETED", 100, RESULT)
    shown = client.get(f"/video/{job_id}").text
    assert "SPEAKER_00" in shown
    assert "1:01.2" in shown
    assert "&lt;b&gt;안녕하세요" in shown
    assert "김 하늘.mp4" in client.get("/").text


def test_a_failure_says_why_and_a_repeated_run_may_still_complete(client: httpx.Client) -> None:
    job_id = started(client)
    error = {"error_code": "CONNECTION_ERROR", "error_message": "The film's server does not answer."}
    called(client, job_id, status="failed", progress=0, message="Analysis failed", **error)
    found = job(client, job_id)
    assert (found["state"], found["error_code"]) == ("FAILED", "CONNECTION_ERROR")
    assert "does not answer" in client.get(f"/video/{job_id}").text
    called(client, job_id, status="completed", progress=100, message="", result=RESULT)
    found = job(client, job_id)
    assert (found["state"], found["error_code"]) == ("COMPLETED", None)


def test_an_error_of_the_ml_server_is_shown_by_its_message(client: httpx.Client, sluice: Gateway) -> None:
    sluice.answer = lambda *_: (422, {"message": "No such language.", "error": {"code": "INVALID_INPUT"}})
    refused = client.post("/api/upload-video/request-process", json={"fileKey": "2026/김 하늘.mp4"})
    assert (refused.status_code, refused.json()) == (
        502,
        {"message": "No such language.", "error": {"code": "INVALID_INPUT"}},
    )
    [row] = client.get("/jobs").json()
    assert (row["state"], row["error_message"]) == ("FAILED", "No such language.")
    sent = client.post("/video", data={"file_key": "2026/김 하늘.mp4", "language": "xx"})
    assert "No such language." in sent.text


def test_a_server_that_cannot_be_reached_is_a_connection_error(data: Path, client: httpx.Client) -> None:
    with backend("http://127.0.0.1:9", data) as lonely:
        refused = lonely.post("/api/upload-video/request-process", json={"fileKey": "2026/김 하늘.mp4"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "CONNECTION_ERROR")


def test_a_callback_that_was_lost_is_made_up_for_when_the_job_is_looked_at(
    client: httpx.Client, sluice: Gateway
) -> None:
    job_id = started(client)
    sluice.answer = lambda *_: (
        200,
        {"job_id": job_id, "status": "completed", "progress": 100, "message": "", "result": RESULT},
    )
    assert job(client, job_id)["state"] == "COMPLETED"
    assert sluice.asked[-1][:2] == ("GET", f"/api/upload-video/status/{job_id}")


def test_a_start_sends_what_a_process_had_stored_when_it_died(
    client: httpx.Client, sluice: Gateway, data: Path
) -> None:
    job_id = started(client)
    with psycopg.connect(os.environ["BACKEND_DATABASE_URL"]) as connection:
        connection.execute("UPDATE ai_services.videos SET accepted = false")
    with backend(sluice.url, data):
        assert [body["job_id"] for _, _, body in sluice.asked] == [job_id, job_id]
    with backend(sluice.url, data):
        assert len(sluice.asked) == 2


def test_callbacks_of_another_shape_or_job_are_refused(client: httpx.Client) -> None:
    job_id = started(client)
    called(client, job_id, 422, status="completed")
    called(client, "5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d", 404, status="processing", progress=1, message="x")
    assert client.post("/api/upload-video/result", content=b"[]").status_code == 400
    assert client.get("/video/5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d").status_code == 404


def test_with_a_secret_only_signed_callbacks_are_taken(client: httpx.Client, sluice: Gateway, data: Path) -> None:
    key = b"0123456789abcdef0123456789abcdef"
    secret = "whsec_" + base64.b64encode(key).decode()
    with backend(sluice.url, data, callback_secret=secret) as strict:
        job_id = started(strict)
        progress(strict, job_id, 10, 401)
        body = json.dumps({"job_id": job_id, "status": "processing", "progress": 10, "message": "x"}).encode()
        at = str(int(time.time()))
        signature = base64.b64encode(hmac.digest(key, f"dlv_1.{at}.".encode() + body, hashlib.sha256)).decode()
        headers = {"webhook-id": "dlv_1", "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
        assert strict.post("/api/upload-video/result", content=body, headers=headers).status_code == 204
