"""The contract of video analysis on the real stack, spoken by `requests` as the old backend's code does.

The backend serves the films and takes the callbacks; it gives `localhost` as its own address, which the one resolver replaces.
Bodies are checked against docs/contracts/video_analysis.schema.json. The films are made here; the processor is the real one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, LiteralString, Self
from uuid import uuid4

import numpy as np
import psycopg
import pytest
import requests

from processors.speech.audio import RATE, Samples, decode
from processors.video.films import write_film
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.contracts import checker
from tests.harness.installation import installation
from tests.harness.lab import running_gateway
from tests.harness.services import Service
from tests.harness.source_tree import ROOT
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

check = checker("video_analysis")
SHAPES = ROOT / "docs" / "callback_shapes" / "video_analysis.toml"
SPEECH = ROOT / "tests" / "data" / "speech" / "amiable.flac"
#: Seconds: longer than the backend's own limit for a request, which is none for a film.
FILM_S = 301
#: Second at which the speech begins.
SPOKEN_S = 2
#: Seconds that the worker may take to start, and to transcribe, on a busy machine.
PATIENCE_S = 180.0
TERMINAL = ("completed", "failed")


class Backend(ThreadingHTTPServer):
    """The upload backend: keeps each callback, and serves a film, whose second half comes slowly until it is set."""

    daemon_threads = True

    def __init__(self, film: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.film = film
        self.callbacks: list[Any] = []
        self.fetched: list[str] = []
        self.second_half = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, job_id: str) -> list[Any]:
        """Return what was called about a job, in order, checked against the contract."""
        return [check("callback", body) for body in self.callbacks if body["job_id"] == job_id]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.second_half.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Request(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        self.server.fetched.append(self.path)
        film = self.server.film
        self._begin(200, len(film))
        with suppress(ConnectionError):  # the worker may have stopped
            self.wfile.write(film[: len(film) // 2])
            self.wfile.flush()
            sent = len(film) // 2
            while not self.server.second_half.wait(0.1):  # so slowly that the worker can look whether it should stop
                self.wfile.write(film[sent : sent + 1])
                self.wfile.flush()
                sent += 1
            self.wfile.write(film[sent:])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.callbacks.append(body)
        self._begin(200 if self.path == "/api/upload-video/result" else 404, 0)

    def _begin(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@dataclass
class Uploads:
    """The backend's code: it asks the ML server at `url`, and looks at the callbacks that came."""

    url: str
    backend: Backend
    settings: Settings
    worker: Service

    def post(self, status: int = 200, url: str = "", **fields: Any) -> Any:
        """Ask for a film to be processed; return the body, checked against the contract."""
        answer = requests.post(f"{url or self.url}/api/upload-video/process-video", json=fields, timeout=300)
        assert answer.status_code == status, answer.text
        return check("accepted" if status == 200 else "error", answer.json())

    def start(self, film: str, **more: Any) -> str:
        """Ask for a film of the backend, or at an address of its own; return the job's id."""
        job_id = str(uuid4())
        address = film if "://" in film else f"{self.backend.url}/{film}"
        fields = {"fastapi_base_url": "http://localhost:8000", "enable_gpu": True, "emotion_detection": True, **more}
        accepted = self.post(job_id=job_id, video_url=address, **fields)
        assert accepted["status_url"] == f"/api/upload-video/status/{job_id}"
        return job_id

    def get(self, path: str, definition: str, status: int = 200) -> Any:
        answer = requests.get(self.url + path, timeout=30)
        assert answer.status_code == status, answer.text
        return check(definition, answer.json())

    def ended(self, job_id: str) -> Any:
        """Wait for the last callback of a job; return it. The status URL has the same body."""

        def last() -> Any:
            found = self.backend.of(job_id)
            return found[-1] if found and found[-1]["status"] in TERMINAL else None

        body = wait_until(last, self.log, PATIENCE_S, step=self.hurry)
        assert self.get(f"/api/upload-video/status/{job_id}", "callback") == body
        return body

    def hurry(self) -> None:
        """Make retries due now, and wait a moment."""
        with psycopg.connect(self.settings.database) as connection:
            connection.execute("UPDATE runs SET due_at = now() WHERE state = 'RETRYING' AND due_at > now()")
        time.sleep(0.1)

    def log(self) -> str:
        return f"{self.backend.callbacks}\n{self.worker.last_lines()}"

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database) as connection:
            return connection.execute(query).fetchall()


def heard() -> Samples:
    """Return the sound of the film: some seconds of speech, then silence."""
    samples, speech = np.zeros(FILM_S * RATE, np.float32), decode(SPEECH, FILM_S)
    samples[SPOKEN_S * RATE : SPOKEN_S * RATE + len(speech)] = speech
    return samples


@pytest.fixture(scope="module")
def uploads(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uploads]:
    folder = tmp_path_factory.mktemp("uploads")
    film = write_film(folder / "film.mp4", heard())
    with ExitStack() as parts:
        backend = parts.enter_context(Backend(film.read_bytes()))
        own = {"processors": ("video",), "callback_shapes": SHAPES, "backend_url": backend.url}
        settings = parts.enter_context(installation(stack, folder / "home", **own))
        patch = parts.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("VIDEO_ALLOW", "127.0.0.1")
        worker = Service(settings, ["worker", "video"])
        parts.callback(worker.stop)
        timekeeper = Service(settings, ["timekeeper"])
        parts.callback(timekeeper.stop)
        parts.enter_context(in_thread(Sink(settings, notify=True).run))
        url = parts.enter_context(running_gateway(settings, gateway_video=True))
        yield Uploads(url, backend, settings, worker)


def test_the_contract_from_the_request_to_the_last_callback(uploads: Uploads) -> None:
    uploads.get("/health", "health")
    long = uploads.start("film.mp4", language="en", max_workers=2, older_clients="send more")
    foreign = uploads.start("film.mp4", language="xx")
    unreachable = uploads.start("http://127.0.0.1:9/film.mp4")
    uploads.post(422, job_id=str(uuid4()))
    uploads.post(422, job_id=str(uuid4()), video_url=f"{uploads.backend.url}/film.mp4")  # nor is the setting given
    uploads.post(409, job_id=long, video_url="http://x/other.mp4", fastapi_base_url="http://localhost:8000")
    uploads.get("/api/upload-video/nothing", "error", 404)
    uploads.get("/api/upload-video/process-video", "error", 405)

    # The worker has half of the film, and its progress is heard before the other half comes.
    wait_until(lambda: uploads.backend.of(long) != [], uploads.log, PATIENCE_S)
    assert uploads.get(f"/api/upload-video/status/{long}", "callback")["status"] == "processing"
    uploads.backend.second_half.set()
    result = uploads.ended(long)["result"]
    assert "amiable" in result["text"]
    assert (result["language"], result["metadata"]["total_segments"]) == ("en", len(result["segments"]))
    assert abs(result["duration"] - FILM_S) < 1
    assert abs(result["segments"][0]["start"] - SPOKEN_S) < 0.5
    lacks = uploads.ended(foreign)
    assert (lacks["error_code"], "xx" in lacks["error_message"]) == ("ML_SERVER_ERROR", True)
    assert uploads.ended(unreachable)["error_code"] == "CONNECTION_ERROR"
    uploads.backend.second_half.clear()
    with running_gateway(uploads.settings, gateway_video=True, gateway_video_deadline_s=2.0) as hasty:
        body: dict[str, Any] = {
            "video_url": f"{uploads.backend.url}/slow.mp4",
            "fastapi_base_url": "http://localhost:8000",
        }
        late = uploads.post(url=hasty, job_id=str(uuid4()), **body)["job_id"]
        assert uploads.ended(late)["error_code"] == "TIMEOUT_ERROR"

    wait_until(lambda: uploads.rows("SELECT 1 FROM deliveries WHERE state = 'pending'") == [], uploads.log)
    for job_id in (long, foreign, unreachable, late):
        *before, last = uploads.backend.of(job_id)
        assert [body["status"] for body in before] == ["processing"] * len(before)
        assert last["status"] in TERMINAL
        assert all(one["progress"] <= other["progress"] for one, other in pairwise(before))
    assert uploads.backend.fetched == ["/film.mp4", "/slow.mp4"]  # nothing of the film whose language is unknown
