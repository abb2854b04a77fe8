"""The contract with the front end. This file is the same before, during and after the move to sluice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

SHEET = Path(__file__).parents[2] / "digits" / "tests" / "sheet.csv"
DIGITS = "49089112345678901234"


def upload(backend: httpx.Client, content: bytes) -> dict[str, Any]:
    answer = backend.post("/inferences", files={"sheet": ("sheet.csv", content)})
    assert answer.status_code == 202
    return answer.json()


def ended(backend: httpx.Client, inference_id: str, seconds: float = 30) -> dict[str, Any]:
    """Poll as the front end does."""
    give_up = time.monotonic() + seconds
    while (inference := backend.get(f"/inferences/{inference_id}").json())["state"] in ("PENDING", "PROCESSING"):
        assert time.monotonic() < give_up, inference
        time.sleep(0.05)
    return inference


def test_a_sheet_is_read(backend: httpx.Client) -> None:
    accepted = upload(backend, SHEET.read_bytes())
    assert (accepted["state"], accepted["digits"], accepted["filename"]) == ("PENDING", None, "sheet.csv")
    inference = ended(backend, accepted["id"])
    assert (inference["state"], inference["digits"], inference["error"]) == ("COMPLETED", DIGITS, None)
    assert len(inference["probabilities"]) == len(DIGITS)
    assert backend.get("/inferences").json()[0]["id"] == inference["id"]


def test_a_file_that_is_no_sheet_fails_with_a_reason(backend: httpx.Client) -> None:
    inference = ended(backend, upload(backend, b"1,2,3\n")["id"])
    assert (inference["state"], inference["digits"]) == ("FAILED", None)
    assert "64 grey values" in inference["error"]


def test_what_has_ended_stays_when_it_is_cancelled(backend: httpx.Client) -> None:
    inference = ended(backend, upload(backend, SHEET.read_bytes())["id"])
    assert backend.post(f"/inferences/{inference['id']}/cancel").status_code == 202
    assert backend.get(f"/inferences/{inference['id']}").json() == inference


@pytest.mark.parametrize(("method", "path"), [("GET", "/inferences/none"), ("POST", "/inferences/none/cancel")])
def test_an_unknown_inference_is_404(backend: httpx.Client, method: str, path: str) -> None:
    assert backend.request(method, path).status_code == 404
