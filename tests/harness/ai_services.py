"""The backend of examples/ai_services on a running sluice, in an environment of its own, and a front end that polls it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.harness.contracts import checker
from tests.harness.examples import Environment, copied
from tests.harness.waiting import wait_until

check = checker("interview")


class FrontEnd:
    """Requests as the old front end sends them; every body is checked against docs/contracts/interview.schema.json.

    `patience_s`: how long it polls for an end. `log`: returns what a failure should show.
    """

    def __init__(self, url: str, patience_s: float, log: Callable[[], str]) -> None:
        self._url, self._patience_s, self._log = url, patience_s, log

    def ask(self, method: str, path: str, definition: str, status: int = 200, **body: Any) -> Any:
        answer = requests.request(method, self._url + path, timeout=60, **body)
        assert answer.status_code == status, answer.text
        return check(definition, answer.json())

    def upload(self, name: str, content: bytes, definition: str = "resume", status: int = 201) -> Any:
        return self.ask("POST", "/resumes", definition, status, files={"file": (name, content)})

    def resume(self, resume_id: str) -> Any:
        """Poll a résumé until its processing has ended."""

        def ended() -> Any:
            row = self.ask("GET", f"/resumes/{resume_id}", "resume")
            return row if row["processing_status"] != "pending" else None

        return wait_until(ended, self._log, self._patience_s)

    def answer(self, interview_id: str, order: int, text: str, definition: str = "interview", status: int = 200) -> Any:
        body = {"order": order, "answer": text}
        return self.ask("POST", f"/interviews/{interview_id}/answers", definition, status, json=body)

    def interview(self, interview_id: str, is_there: Callable[[Any], bool]) -> Any:
        """Poll an interview until it waits for nothing and `is_there` is true of it."""

        def ready() -> Any:
            found = self.ask("GET", f"/interviews/{interview_id}", "interview")
            return found if not found["waiting_for"] and is_there(found) else None

        return wait_until(ready, self._log, self._patience_s)


@contextmanager
def running_backend(folder: Path, **variables: str) -> Iterator[tuple[str, Path]]:
    """Run a copy of the backend with its requirements alone; yield its URL and its log. `variables`: its settings."""
    example = copied("ai_services", folder)
    environment = Environment(folder / "venv")
    environment.install(example / "requirements.txt")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "backend.log"
    command = [
        str(folder / "venv" / "bin" / "python"), "-m", "uvicorn", "main:create_app", "--factory", "--port", str(port)
    ]  # fmt: skip
    with log.open("wb") as output:
        settings = {"BACKEND_URL": url, "BACKEND_DATA": str(folder / "data"), **variables}
        process = subprocess.Popen(command, cwd=example, env=settings, stdout=output, stderr=output)
        try:
            wait_until(lambda: _answers(url, process), log.read_text)
            yield url, log
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the backend ended at its start"
    try:
        return requests.get(f"{url}/jobs", timeout=5).ok
    except requests.ConnectionError:
        return False
