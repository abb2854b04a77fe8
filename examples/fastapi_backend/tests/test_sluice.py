"""The callback route, restarts, and the backend while sluice is away."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sluice_client import Client, Retry
from sqlmodel import Session

import jobs
from main import app, lifespan, sheet_of, start_unsent
from store import Inference, engine
from test_contract import DIGITS, SHEET, ended, upload


def signed(body: bytes, message_id: str = "msg_1") -> dict[str, str]:
    """Return the headers that sluice would send with this body."""
    key = base64.b64decode(os.environ["SLUICE_CALLBACK_SECRETS"].split(",")[0].removeprefix("whsec_"))
    now = str(int(time.time()))
    signature = hmac.digest(key, f"{message_id}.{now}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def outcome(inference_id: str, **fields: Any) -> bytes:
    data = {"external_id": inference_id, "run": 0, "status": "FAILED", "output": None, "error": None, **fields}
    return json.dumps({"type": "job.failed", "data": data}).encode()


@pytest.fixture
def sluice_away(backend: httpx.Client) -> Iterator[None]:
    kept = app.state.sluice
    with Client("http://127.0.0.1:9", retry=Retry(attempts=1)) as app.state.sluice:
        yield
    app.state.sluice = kept


def test_the_callback_brings_the_result_without_a_poll(backend: httpx.Client) -> None:
    accepted = upload(backend, SHEET.read_bytes())
    give_up = time.monotonic() + 30
    while (row := backend.get("/inferences").json()[0])["state"] != "COMPLETED":
        assert time.monotonic() < give_up, row
        time.sleep(0.05)
    assert (row["id"], row["digits"]) == (accepted["id"], DIGITS)


def test_a_poll_makes_up_for_a_callback_that_is_lost(backend: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "CALLBACK_URL", "http://127.0.0.1:9/")
    inference = ended(backend, upload(backend, SHEET.read_bytes())["id"])
    assert (inference["state"], inference["digits"]) == ("COMPLETED", DIGITS)


def test_a_callback_that_comes_again_changes_nothing(backend: httpx.Client) -> None:
    inference = ended(backend, upload(backend, SHEET.read_bytes())["id"])
    body = outcome(inference["id"])
    for _ in range(2):
        assert backend.post("/callbacks/sluice", content=body, headers=signed(body)).status_code == 204
    assert backend.get(f"/inferences/{inference['id']}").json() == inference


def test_the_outcome_of_a_later_run_replaces_the_earlier_one(backend: httpx.Client) -> None:
    inference = ended(backend, upload(backend, SHEET.read_bytes())["id"])
    body = outcome(inference["id"], run=1, status="COMPLETED", output={"digits": "7", "probabilities": [1.0]})
    assert backend.post("/callbacks/sluice", content=body, headers=signed(body)).status_code == 204
    assert backend.get(f"/inferences/{inference['id']}").json()["digits"] == "7"


def test_a_callback_that_sluice_did_not_sign_is_refused(backend: httpx.Client) -> None:
    body = outcome("x")
    assert backend.post("/callbacks/sluice", content=body).status_code == 401
    assert backend.post("/callbacks/sluice", content=body + b" ", headers=signed(body)).status_code == 401


def test_a_sheet_whose_submit_was_interrupted_is_submitted_at_the_next_start(backend: httpx.Client) -> None:
    inference = unsent_row(SHEET.read_bytes())
    start_unsent(app.state.sluice)
    assert ended(backend, inference.id)["digits"] == DIGITS
    assert not sheet_of(inference).exists()


def test_two_processes_that_start_together_make_one_job(backend: httpx.Client) -> None:
    inference = unsent_row(SHEET.read_bytes())
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(start_unsent, [app.state.sluice] * 2))
    assert ended(backend, inference.id)["digits"] == DIGITS
    assert len(list(app.state.sluice.jobs(external_id=inference.id))) == 1


def test_a_row_that_another_process_has_submitted_first_is_left_alone(
    backend: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = unsent_row()

    def another_is_faster(sluice: Client, inference_id: str, sheet: Path) -> str:
        with Session(engine) as db:
            db.get_one(Inference, inference_id).job_id = "j1"
            db.commit()
        raise FileNotFoundError

    monkeypatch.setattr(jobs, "start", another_is_faster)
    start_unsent(app.state.sluice)
    with Session(engine) as db:
        row = db.get_one(Inference, inference.id)
        assert (row.state, row.job_id) == ("PENDING", "j1")


@pytest.mark.usefixtures("sluice_away")
def test_a_row_whose_sheet_is_lost_fails_and_the_backend_starts(backend: httpx.Client) -> None:
    lost, waiting = unsent_row(), unsent_row(SHEET.read_bytes())
    start_unsent(app.state.sluice)
    inference = ended(backend, lost.id)
    assert (inference["state"], inference["error"]) == ("FAILED", "The upload was interrupted. Send the sheet again.")
    assert sheet_of(waiting).exists()


def test_a_backend_without_callback_secrets_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICE_CALLBACK_SECRETS")
    with pytest.raises(RuntimeError, match="SLUICE_CALLBACK_SECRETS"):
        asyncio.run(lifespan(app).__aenter__())


def unsent_row(sheet: bytes | None = None) -> Inference:
    """Store a row as a process leaves it that died before its submit."""
    inference = Inference(filename="sheet.csv")
    if sheet is not None:
        sheet_of(inference).write_bytes(sheet)
    with Session(engine, expire_on_commit=False) as db:
        db.add(inference)
        db.commit()
    return inference


@pytest.mark.usefixtures("sluice_away")
def test_without_sluice_an_upload_is_refused_and_leaves_no_row(backend: httpx.Client) -> None:
    before = backend.get("/inferences").json()
    assert backend.post("/inferences", files={"sheet": ("sheet.csv", SHEET.read_bytes())}).status_code == 503
    assert backend.get("/inferences").json() == before
