"""The callback route, restarts, and the backend while sluice is away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sluice_client import Client, Retry
from sqlmodel import Session

import jobs
from main import app, sheet_of, start_unsent
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
    inference = Inference(filename="sheet.csv")
    sheet_of(inference).write_bytes(SHEET.read_bytes())
    with Session(engine, expire_on_commit=False) as db:
        db.add(inference)
        db.commit()
    start_unsent(app.state.sluice)
    assert ended(backend, inference.id)["digits"] == DIGITS
    assert not sheet_of(inference).exists()


@pytest.mark.usefixtures("sluice_away")
def test_without_sluice_an_upload_is_refused_and_leaves_no_row(backend: httpx.Client) -> None:
    before = backend.get("/inferences").json()
    assert backend.post("/inferences", files={"sheet": ("sheet.csv", SHEET.read_bytes())}).status_code == 503
    assert backend.get("/inferences").json() == before
