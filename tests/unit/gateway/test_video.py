"""The door of video analysis: its answers, states and errors, checked against docs/contracts/video_analysis.schema.json."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from connectors.callbacks.profile import Moment
from connectors.callbacks.profile_file import callback_profiles
from connectors.callbacks.template import render
from gateway.http_limits import SMALL
from gateway.video import videos
from schemas.errors import StartupError, Unreachable
from tests.harness.contracts import checker
from tests.harness.gateway_on_twins import TenantTokens
from tests.harness.source_tree import ROOT
from tests.unit.gateway.video_kit import BACKEND, BASE, FILM, URL, Uploads, Video

check = checker("video_analysis")
SHAPES = ROOT / "docs" / "callback_shapes" / "video_analysis.toml"


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    with Uploads() as uploads:
        yield uploads


@pytest.fixture(scope="module")
def door() -> Iterator[Uploads]:
    """A door for the tests that start no job."""
    with Uploads() as uploads:
        yield uploads


def ok(answer: httpx.Response, definition: str) -> Any:
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    return check(definition, answer.json())


def error(answer: httpx.Response, status: int) -> Any:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    return check("error", answer.json())


def test_a_film_is_accepted_at_once_and_its_result_is_read_at_the_status_url(uploads: Uploads) -> None:
    accepted = ok(uploads.post(language="ko", emotion_detection=True, max_workers=2, enable_gpu=True), "accepted")
    assert (accepted["job_id"], accepted["status"], accepted["estimated_time"]) == (FILM, "processing", 300)
    before = ok(uploads.status(), "callback")
    assert before == {"job_id": FILM, "status": "processing", "progress": 0, "message": "Processing"}

    uploads.flow.settle()
    after = ok(uploads.visit(lambda client: client.get(accepted["status_url"])), "callback")
    assert (after["status"], after["result"]["segments"][0]["speaker"]) == ("completed", "SPEAKER_00")
    (seen,) = Video.seen
    assert (seen.video_url, seen.language, seen.emotion_detection) == (URL, "ko", True)


def test_all_but_the_first_two_keys_are_optional_and_unknown_ones_are_ignored(uploads: Uploads) -> None:
    with Uploads(fastapi_base_url="http://127.0.0.1:8000/") as configured:
        answer = configured.ask("POST", "/process-video", json={"job_id": FILM, "video_url": URL})
        ok(answer, "accepted")
        configured.flow.settle()
        assert [call.url for call in configured.flow.callbacks] == ["http://127.0.0.1:8000"]
    ok(uploads.post(webhook_url="http://x", quality={"deep": [1]}, priority=9, language=None), "accepted")


def test_the_status_is_the_body_that_the_backend_was_called_with(uploads: Uploads) -> None:
    ids = {name: f"5b0c7f9e-2f53-4a0e-9d0d-{n:012d}" for n, name in enumerate(("good", "xx", "cancelled"))}
    for name, job_id in ids.items():
        ok(uploads.post(job_id=job_id, language="xx" if name == "xx" else "auto"), "accepted")
    uploads.flow.cancel(videos.job_id_of("default", ids["cancelled"]))
    uploads.flow.settle()
    profile = callback_profiles(SHAPES).profiles["video-analysis"]
    called = {call.event["data"]["external_id"]: call.event for call in uploads.flow.callbacks}
    assert sorted(called) == sorted(ids.values())
    for name, job_id in ids.items():
        moment = Moment.SUCCESS if name == "good" else Moment.FAILURE
        template = profile.message(moment).body
        assert template is not None
        body = check("callback", render(template, called[job_id]))
        assert ok(uploads.status(job_id), "callback") == body
    refused = ok(uploads.status(ids["xx"]), "callback")
    assert (refused["error_code"], "'xx'" in refused["error_message"]) == ("ML_SERVER_ERROR", True)


def test_a_film_that_cannot_be_fetched_is_a_connection_error(uploads: Uploads) -> None:
    uploads.post(video_url="https://unreachable.example/a.mp4")
    for _ in range(10):
        uploads.flow.settle()
        uploads.flow.advance(300)
    uploads.flow.settle()
    assert ok(uploads.status(), "callback")["error_code"] == "CONNECTION_ERROR"


def test_a_job_past_its_deadline_is_a_timeout_error() -> None:
    with Uploads(gateway_video_deadline_s=60.0) as uploads:
        uploads.post()
        uploads.flow.settle(worker=False)
        uploads.flow.advance(61)
        uploads.flow.settle()
        failed = ok(uploads.status(), "callback")
        assert (failed["status"], failed["error_code"]) == ("failed", "TIMEOUT_ERROR")


def test_one_job_id_is_one_job_also_when_the_films_signature_has_changed(uploads: Uploads) -> None:
    ok(uploads.post(), "accepted")
    uploads.flow.settle()
    again = ok(uploads.post(video_url=URL.replace("abc", "other"), fastapi_base_url="http://localhost:1"), "accepted")
    assert (again["status"], again["estimated_time"]) == ("completed", 0)
    ok(uploads.post(job_id=FILM.upper()), "accepted")
    ok(uploads.post(max_workers=1, enable_gpu=False), "accepted")  # which have no effect
    for other in ({"video_url": "https://media.example/lee.mp4"}, {"language": "en"}):
        assert error(uploads.post(**other), 409)["error"]["code"] == "CONFLICT", other
    uploads.flow.settle()
    assert len(uploads.flow.callbacks) == 1


@pytest.mark.parametrize(
    ("workers", "paused", "says"), [(1, False, "accepted."), (0, False, "no worker"), (2, True, "paused")]
)
def test_a_film_that_waits_for_a_worker_is_accepted_and_the_message_says_so(
    workers: int, paused: bool, says: str, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads.ports.admission.queues, "workers", lambda processor: workers)
    monkeypatch.setattr(uploads.ports.admission.queues, "paused", lambda processor: paused)
    assert says in ok(uploads.post(), "accepted")["message"]


def test_two_requests_at_the_same_moment_are_one_job(uploads: Uploads) -> None:
    async def twice(client: httpx.AsyncClient) -> list[httpx.Response]:
        bodies = [{"job_id": FILM, "video_url": f"{URL}{n}", "fastapi_base_url": BACKEND} for n in range(8)]
        return await asyncio.gather(*(client.post(f"{BASE}/process-video", json=body) for body in bodies))

    for answer in uploads.visit(twice):
        ok(answer, "accepted")
    uploads.flow.settle()
    assert len(Video.seen) == 1


def test_without_a_backends_url_the_request_is_refused_and_says_which_setting_helps(door: Uploads) -> None:
    for absent in (..., None, ""):
        refused = error(door.post(fastapi_base_url=absent), 422)
        assert "FASTAPI_BASE_URL" in refused["message"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"job_id": ...}, "body.job_id: Field required"),
        ({"job_id": "7"}, "body.job_id"),
        ({"job_id": 7}, "body.job_id"),
        ({"video_url": ...}, "body.video_url: Field required"),
        ({"video_url": "file:///etc/passwd"}, "body.video_url"),
        ({"video_url": "ftp://x/a.mp4"}, "body.video_url"),
        ({"video_url": "http://"}, "body.video_url"),
        ({"video_url": "http://x/a b"}, "body.video_url"),
        ({"video_url": "http://[::1"}, "body.video_url: Value error, its host is malformed"),
        ({"video_url": "http://a]b/"}, "body.video_url"),
        ({"video_url": "http://ex\u2100mple.com/"}, "body.video_url"),
        ({"video_url": "http://x/" + "a" * 9000}, "body.video_url"),
        ({"language": "../../x"}, "body.language"),
        ({"max_workers": 0}, "body.max_workers"),
        ({"max_workers": True}, "body.max_workers"),
        ({"emotion_detection": "yes"}, "body.emotion_detection"),
        ({"fastapi_base_url": "ftp://localhost"}, "callback URL"),
        ({"fastapi_base_url": "http://10.0.0.7:8000"}, "SLUICE_CALLBACK_ALLOW"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_and_names_the_key(fields: Any, says: str, door: Uploads) -> None:
    refused = error(door.post(**fields), 422)
    assert refused["error"]["code"] == "INVALID_INPUT"
    assert says in refused["message"]
    assert "passwd" not in refused["message"]


ANY = f"/status/{FILM}"
WRONG: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", ANY, {}, 404),
    ("GET", "/status/7", {}, 422),
    ("GET", "/nothing", {}, 404),
    ("GET", "", {}, 404),
    ("GET", "/process-video", {}, 405),
    ("DELETE", ANY, {}, 405),
    ("POST", "/process-video", {"content": b"{"}, 400),
    ("POST", "/process-video", {"content": b""}, 400),
    ("POST", "/process-video", {"content": b"\xff\xfe"}, 400),
    ("POST", "/process-video", {"content": b"[" * 100_000}, 400),
    ("POST", "/process-video", {"json": []}, 422),
    ("POST", "/process-video", {"json": "text"}, 422),
    ("POST", "/process-video", {"content": b'{"job_id": "\\ud800"}'}, 422),
    ("POST", "/process-video", {"content": b" " * (SMALL + 1)}, 413),
]


def test_every_error_has_the_backends_shape(door: Uploads) -> None:
    for method, path, more, status in WRONG:
        error(door.ask(method, path, **more), status)
        error(door.ask(method, f"{path}/", **more), status)


async def away(*_: object, **__: object) -> None:
    raise Unreachable("Postgres does not answer.")


async def broken(*_: object, **__: object) -> None:
    raise KeyError("Kim")


def test_faults_and_refusals_of_the_gateway_have_the_backends_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, status in ((away, 503), (broken, 500)):
        with Uploads() as uploads:
            monkeypatch.setattr(uploads.ports.reader, "status", fault)
            failed = error(uploads.status(), status)
            assert "Kim" not in str(failed)
    with Uploads(gateway_burst=1, gateway_jobs_per_s=0.001) as limited:
        ok(limited.post(), "accepted")
        refused = limited.post(job_id=FILM.replace("5b0c", "5b0d"))
        assert error(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
    with Uploads(gateway_requests=0) as full:
        assert error(full.status(), 503)["error"]["code"] == "OVERLOADED"


def with_password(name: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic x"}, 401),
        (with_password("backend", "wrong"), 401),
        (with_password("other", "clinic"), 401),
        ({"Authorization": "Bearer clinic"}, 200),
        (with_password("backend", "clinic"), 200),
    ],
)
def test_a_token_comes_as_a_header_or_in_the_url_of_an_unchanged_backend(
    headers: dict[str, str], status: int, uploads: Uploads
) -> None:
    uploads.ports.authenticator = TenantTokens()
    body = {"job_id": FILM, "video_url": URL, "fastapi_base_url": BACKEND}
    answer = uploads.ask("POST", "/process-video", json=body, headers=headers)
    if status == 200:
        ok(answer, "accepted")
        assert error(uploads.ask("GET", ANY, headers=with_password("backend", "other")), 404)
    else:
        error(answer, status)
        error(uploads.ask("POST", "/process-video", content=b"{", headers=headers), status)  # before the body is read


def test_the_health_of_the_service_needs_no_token(uploads: Uploads) -> None:
    uploads.ports.authenticator = TenantTokens()
    ok(uploads.visit(lambda client: client.get("/health")), "health")
    uploads.ports.stopping.set()
    error(uploads.visit(lambda client: client.get("/health")), 503)


def test_the_door_is_closed_unless_a_setting_opens_it() -> None:
    with Uploads(gateway_video=False) as uploads:
        assert uploads.post().status_code == 404
        assert uploads.visit(lambda client: client.get("/health")).status_code == 404


def test_a_gateway_whose_door_has_no_processor_behind_it_does_not_start(door: Uploads) -> None:
    with pytest.raises(StartupError, match="SLUICE_GATEWAY_VIDEO"):
        videos.check(door.settings.model_copy(update={"processors": ("echo",)}))
    videos.check(door.settings)
