"""Interviews: the backend's own contract, callbacks in every order, a sluice that is away, and pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.kit import BACKEND_URL, Gateway, backend

RESUME = {
    "name": "김하늘 <b>",
    "email": "haneul@example.org",
    "phone": None,
    "links": ["https://example.org"],
    "summary": "Backend engineer.",
    "education": [{"institution": "Seoul", "degree": "BSc", "field": "Physics", "start": "2010", "end": "2014"}],
    "experience": [
        {"organisation": "Acme", "title": "Engineer", "start": "2015", "end": None, "current": True, "description": "x"}
    ],
    "projects": [{"name": "Sluice gate", "start": None, "end": None, "description": None}],
    "skills": ["Kafka", "Python"],
    "languages": [{"language": "Korean", "level": "native"}],
    "certificates": [],
    "language": "ko",
    "warnings": [],
}
SCORES = {
    **{"relevance": 80, "coverage": None, "structure": 70, "overall": 76, "feedback": ["Name an example."]},
    **{"method": "heuristic", "language": "en", "warnings": ["No points."], "reason": None, "model": None},
}


@pytest.fixture(autouse=True)
def accepting(sluice: Gateway) -> None:
    """Let sluice take uploads and jobs, all of which are running."""
    numbers = iter(range(1000))

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.startswith("/v1/uploads"):
            claim = {"uri": "s3://b/k", "sha256": "0" * 64, "size": len(body), "content_type": "application/pdf"}
            return 201, {"upload_id": "u1", "claim": claim}
        if method == "POST":
            return 202, {"job_id": f"job-{next(numbers)}", "processor": body["processor"], "state": "PENDING"}
        return 200, {"job_id": path.rsplit("/", 1)[-1], "processor": "x", "state": "RUNNING"}

    sluice.answer = answer


def submitted(sluice: Gateway, processor: str) -> list[dict[str, Any]]:
    """Return the bodies of the jobs of a processor that were submitted."""
    return [
        body
        for method, path, body in sluice.asked
        if (method, path) == ("POST", "/v1/jobs") and body["processor"] == processor
    ]


def ended(client: httpx.Client, job: dict[str, Any], output: Any = None, expected: int = 204, **error: Any) -> None:
    status = "FAILED" if error else "COMPLETED"
    data = {"external_id": job["external_id"], "status": status, "output": output, "error": error or None}
    body = {"type": f"job.{status.lower()}", "data": data}
    answer = client.post(job["callback_url"].removeprefix(BACKEND_URL), json=body)
    assert answer.status_code == expected, answer.text


def uploaded(client: httpx.Client, name: str = "김하늘.pdf") -> str:
    answer = client.post("/resumes", files={"file": (name, b"%PDF-1.7")})
    assert (answer.status_code, answer.json()["processing_status"]) == (201, "pending"), answer.text
    return str(answer.json()["id"])


def question(order: int, complete: bool = False, **changes: Any) -> dict[str, Any]:
    row = {
        "order": order,
        "question_type": "technical",
        "stage": "depth",
        "text": f"Question {order}?",
        "source": "llm",
    }
    return {"questions": [row | changes], "complete": complete, "total": 3, "scenario": "s", "language": "en"}


def started(client: httpx.Client, **body: Any) -> str:
    answer = client.post("/interviews", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def answered(client: httpx.Client, interview: str, order: int, expected: int = 200) -> dict[str, Any]:
    answer = client.post(f"/interviews/{interview}/answers", json={"order": order, "answer": f"Answer {order}."})
    assert answer.status_code == expected, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_resume_is_pending_then_completed_with_jsonb_columns(client: httpx.Client, sluice: Gateway) -> None:
    resume = uploaded(client)
    [job] = submitted(sluice, "resume")
    assert job["input"]["document"]["size"] == 8
    assert client.get(f"/resumes/{resume}").json()["processing_status"] == "pending"
    ended(client, job, RESUME)
    ended(client, job, code="LATE", message="late")  # changes nothing
    found = client.get(f"/resumes/{resume}").json()
    assert found["processing_status"] == "completed"
    assert {name: found[name] for name in RESUME} == RESUME
    with psycopg.connect(os.environ["BACKEND_DATABASE_URL"]) as connection:
        [kind] = connection.execute("SELECT jsonb_typeof(experience->0) FROM ai_services.resumes").fetchone() or [""]
    assert kind == "object"
    shown = client.get(f"/interview/{job['external_id']}", follow_redirects=True).text
    assert "김하늘 &lt;b&gt;" in shown
    assert "Sluice gate" in shown


def test_a_resume_that_cannot_be_read_is_failed_and_says_why(client: httpx.Client, sluice: Gateway) -> None:
    resume = uploaded(client)
    ended(client, submitted(sluice, "resume")[0], code="INVALID_INPUT", message="The PDF has no text.")
    found = client.get(f"/resumes/{resume}").json()
    assert (found["processing_status"], found["error_message"]) == ("failed", "The PDF has no text.")
    assert "The PDF has no text." in client.get(f"/interview/resumes/{resume}").text


@pytest.mark.parametrize("broken", [{"name": "x"}, RESUME | {"name": "\0"}, RESUME | {"skills": ["\0"]}])
def test_a_result_that_cannot_be_stored_is_failed_and_visible(
    client: httpx.Client, sluice: Gateway, broken: dict[str, Any]
) -> None:
    resume = uploaded(client)
    ended(client, submitted(sluice, "resume")[0], broken)
    assert client.get(f"/resumes/{resume}").json()["processing_status"] == "failed"
    assert client.get("/jobs").json()[0]["error_code"] == "RESULT_NOT_STORED"


@pytest.mark.parametrize(("name", "content", "status"), [("a.exe", b"x", 415), ("a.pdf", b"", 413)])
def test_other_files_are_refused(client: httpx.Client, name: str, content: bytes, status: int) -> None:
    assert client.post("/resumes", files={"file": (name, content)}).status_code == status
    assert "Not started" in client.post("/interview/resumes", files={"file": (name, content)}).text


def test_a_lost_callback_is_made_up_for_by_the_poll(client: httpx.Client, sluice: Gateway) -> None:
    resume = uploaded(client)

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        state = {"job_id": "job-0", "processor": "resume", "state": "COMPLETED"}
        return 200, state | ({"status": "COMPLETED", "output": RESUME} if path.endswith("/result") else {})

    sluice.answer = answer
    assert client.get(f"/resumes/{resume}").json()["processing_status"] == "completed"


def test_an_interview_starts_with_two_templates_and_goes_on_by_answers(client: httpx.Client, sluice: Gateway) -> None:
    resume = uploaded(client)
    ended(client, submitted(sluice, "resume")[0], RESUME)
    interview = started(client, resume_id=resume, role="Engineer")
    first = client.get(f"/interviews/{interview}").json()
    assert [(each["order"], each["source"]) for each in first["questions"]] == [(1, "template"), (2, "template")]
    answered(client, interview, 1)
    assert submitted(sluice, "question") == []
    assert answered(client, interview, 2)["waiting_for"][0]["title"] == "Question 3"
    [job] = submitted(sluice, "question")
    assert job["input"]["mode"] == "next"
    assert [each["answer"] for each in job["input"]["asked"]] == ["Answer 1.", "Answer 2."]
    assert job["input"]["facts"]["skills"] == ["Kafka", "Python"]
    assert "haneul" not in str(job["input"])
    for _ in range(2):  # a callback may come twice
        ended(client, job, question(3, complete=True))
    for score in submitted(sluice, "evaluate"):
        ended(client, score, SCORES)
    found = answered(client, interview, 3)
    assert [each["source"] for each in found["questions"]] == ["template", "template", "llm"]
    assert found["questions"][0]["evaluation"] == SCORES
    assert found["status"] == "completed"
    assert len(submitted(sluice, "question")) == 1
    shown = client.get(f"/interview/interviews/{interview}").text
    assert "source llm" in shown
    assert "Name an example." in shown
    assert "not scored" in shown


def test_a_fallback_is_named(client: httpx.Client, sluice: Gateway) -> None:
    interview = started(client, language="ko")
    for order in (1, 2):
        answered(client, interview, order)
    ended(client, submitted(sluice, "question")[0], question(3, source="fallback", reason="connect"))
    shown = client.get(f"/interview/interviews/{interview}").text
    assert "source fallback (connect)" in shown
    assert "자기소개" in shown


def test_a_question_is_answered_once(client: httpx.Client) -> None:
    interview = started(client)
    answered(client, interview, 1)
    answered(client, interview, 1, expected=409)
    answered(client, interview, 9, expected=409)


def test_a_failed_question_is_shown_and_repeated_on_request_only(client: httpx.Client, sluice: Gateway) -> None:
    interview = started(client)
    for order in (1, 2):
        answered(client, interview, order)
    ended(client, submitted(sluice, "question")[0], code="TIMEOUT_ERROR", message="It took too long.")
    found = client.get(f"/interviews/{interview}").json()
    assert {"title": "Question 3", "state": "FAILED", "error": "It took too long."} in found["waiting_for"]
    assert len(submitted(sluice, "question")) == 1
    assert "Try again" in client.get(f"/interview/interviews/{interview}").text
    client.post(f"/interview/interviews/{interview}/retry")
    first, second = submitted(sluice, "question")
    assert first["external_id"] != second["external_id"]
    ended(client, second, question(3))
    assert len(client.get(f"/interviews/{interview}").json()["questions"]) == 3


def test_while_sluice_is_away_everything_waits_and_a_start_goes_on(
    client: httpx.Client, sluice: Gateway, data: Path
) -> None:
    with backend("http://127.0.0.1:9", data) as lonely:
        resume = uploaded(lonely)
        assert lonely.get(f"/resumes/{resume}").json()["processing_status"] == "pending"
    assert submitted(sluice, "resume") == []
    with backend(sluice.url, data):
        [job] = submitted(sluice, "resume")
    with backend(sluice.url, data):
        assert len(submitted(sluice, "resume")) == 1
    ended(client, job, RESUME)
    assert client.get(f"/resumes/{resume}").json()["processing_status"] == "completed"


def test_an_unknown_processor_fails_the_resume_at_once(client: httpx.Client, sluice: Gateway) -> None:
    accept = sluice.answer
    problem = {
        "type": "about:blank",
        "title": "x",
        "status": 422,
        "detail": "No processor.",
        "code": "UNKNOWN_PROCESSOR",
    }
    sluice.answer = lambda method, path, body: (
        (422, problem) if (method, path) == ("POST", "/v1/jobs") else accept(method, path, body)
    )
    answer = client.post("/resumes", files={"file": ("a.pdf", b"%PDF")})
    assert answer.json()["processing_status"] == "failed"


def test_callbacks_of_another_shape_or_task_are_refused(client: httpx.Client, sluice: Gateway) -> None:
    uploaded(client)
    [job] = submitted(sluice, "resume")
    ended(client, job | {"external_id": "nothing"}, RESUME, expected=404)
    ended(client, job | {"external_id": "5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d"}, RESUME, expected=404)
    assert client.post("/interview/callbacks", json={"type": "job.completed"}).status_code == 422
    assert client.get("/interview/5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d").status_code == 404
    assert client.get("/interviews/5b0c7f9e-2f53-4a0e-9d0d-0a6a3f1c2b4d").status_code == 404


def test_the_pages_start_an_interview_and_take_an_answer(client: httpx.Client) -> None:
    page = client.post("/interview/interviews", data={"language": "en", "role": "<i>"}, follow_redirects=True)
    assert "&lt;i&gt;" in page.text
    assert "Please introduce yourself." in page.text
    page = client.post(page.url.path, data={"order": 1, "answer": "I am <b>."}, follow_redirects=True)
    assert "I am &lt;b&gt;." in page.text
    assert "<i>" not in client.get("/interview").text
    assert "can&#39;t be started" in client.post("/interview/interviews", data={"language": "xx"}).text
