"""The endpoint over real HTTP, and the service files by which it is found."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.errors import StartupError, UsageError
from streams import logs
from streams.health import ask, service_files
from streams.health.loop_threads import LoopThreads
from streams.health.report import Health
from streams.health.server import HealthServer
from streams.health.service_files import register, running
from streams.settings import Settings, load_settings

THREADS = LoopThreads("sink", logs.get("sink"))
WELL = Health(alive=True, ready=True, details={"partitions": 2})
WAITING = Health(alive=True, ready=False, reasons=("Postgres does not answer",))
HUNG = Health(alive=False, ready=False, reasons=("the loop has not turned for 75 s",))


@contextmanager
def served(health: Health, address: str = "127.0.0.1:0") -> Iterator[HealthServer]:
    server = HealthServer(address, lambda ask: health, {"service": "sink", "pid": 7}, THREADS)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize(("health", "livez", "readyz"), [(WELL, 200, 200), (WAITING, 200, 503), (HUNG, 503, 503)])
def test_the_status_code_is_the_answer_and_the_body_says_why(health: Health, livez: int, readyz: int) -> None:
    with served(health) as server:
        code, alive = ask.get(server.url, "/livez")
        assert (code, alive) == (livez, {"alive": health.alive, "reasons": list(health.reasons)})
        code, ready = ask.get(server.url, "/readyz")
        assert (code, ready) == (readyz, {"ready": health.ready, "reasons": list(health.reasons)})


def test_the_status_has_all_facts() -> None:
    with served(WELL) as server:
        code, content = ask.get(server.url, "/status")
    expected = {"service": "sink", "pid": 7, "alive": True, "ready": True, "reasons": [], "partitions": 2}
    assert (code, content) == (200, expected)


def test_liveness_probes_no_dependency() -> None:
    calls = []

    def check(ask_others: bool) -> Health:
        calls.append(ask_others)
        return WELL

    server = HealthServer("127.0.0.1:0", check, {}, THREADS)
    for path in ("/livez", "/readyz", "/status"):
        ask.get(server.url, path)
    server.close()
    assert calls == [False, True, True]


def test_a_service_whose_health_check_fails_is_not_ready() -> None:
    def check(ask_others: bool) -> Health:
        raise KeyError("a secret")

    server = HealthServer("127.0.0.1:0", check, {}, THREADS)
    code, content = ask.get(server.url, "/readyz")
    server.close()
    assert code == 503
    assert content["reasons"] == ["its health check failed: KeyError"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "status"), [("/livez?x=1", 200), ("/readyz?", 503), ("/status", 200), ("/?/livez", 404)]
)
def test_head_is_answered_like_get_without_the_body_and_a_query_is_ignored(method: str, path: str, status: int) -> None:
    with served(WAITING) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
    assert answer.status == status
    assert int(answer.headers["Content-Length"]) > 2
    assert (body == b"") == (method == "HEAD")


def test_other_paths_are_not_found() -> None:
    with served(WELL) as server:
        assert ask.get(server.url, "/metrics")[0] == 404


def test_an_address_that_is_taken_is_refused_by_name() -> None:
    with served(WELL) as server:
        taken = server.url.removeprefix("http://")
        with pytest.raises(StartupError, match=f"SLUICE_HEALTH_ADDRESS {taken}"):
            HealthServer(taken, lambda ask: WELL, {}, THREADS)


def test_an_address_may_be_ipv6() -> None:
    with served(WELL, "[::1]:0") as server:
        assert server.url.startswith("http://[::1]:")
        assert ask.get(server.url, "/livez")[0] == 200


def test_by_default_only_this_machine_is_answered() -> None:
    assert Settings.model_fields["health_address"].default == "127.0.0.1:0"


@pytest.mark.parametrize("address", ["8080", "http://x:1", "host:", "::1:80"])
def test_an_invalid_address_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("SLUICE_HEALTH_ADDRESS", address)
    with pytest.raises(UsageError, match="HEALTH_ADDRESS"):
        load_settings()


# ── service files ──


def test_a_running_service_is_found_and_asked_at_its_address(tmp_path: Path) -> None:
    with served(WAITING) as server, register(tmp_path, "worker", server.url, ("echo", "embed")):
        (answer,) = ask.ask_all(tmp_path)
    service = answer.service_file
    assert (service.service, service.runs, service.pid) == ("worker", ("echo", "embed"), os.getpid())
    assert (answer.alive, answer.ready, answer.reasons) == (True, False, ["Postgres does not answer"])
    assert ask.ask_all(tmp_path) == []


def test_the_file_of_a_killed_service_is_removed_even_if_its_pid_is_used_again(tmp_path: Path) -> None:
    program = (
        f"import os\nfrom pathlib import Path\nfrom streams.health.service_files import register\n"
        f"with register(Path({str(tmp_path)!r}), 'sink', 'http://127.0.0.1:1'):\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    (left,) = service_files.folder(tmp_path).glob("*.json")
    left.write_text(json.dumps(json.loads(left.read_text()) | {"pid": os.getpid()}))
    assert running(tmp_path) == []
    assert not left.exists()


def test_a_service_that_does_not_answer_is_reported_so(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with register(tmp_path, "sink", f"http://127.0.0.1:{silent.getsockname()[1]}"):
            (answer,) = ask.ask_all(tmp_path, timeout_s=0.1)
    assert (answer.alive, answer.ready) == (None, None)
    assert "does not answer" in answer.reasons[0]


def test_a_service_on_another_machine_is_known_but_not_asked(tmp_path: Path) -> None:
    with register(tmp_path, "sink", "http://127.0.0.1:1"):
        (path,) = service_files.folder(tmp_path).glob("*.json")
        with path.open("r+") as file:  # the same file, which is locked
            fields = json.loads(file.read()) | {"host": "elsewhere"}
            file.seek(0)
            json.dump(fields, file)
            file.truncate()
        (answer,) = ask.ask_all(tmp_path)
    assert answer.reasons == ["it runs on elsewhere and can only be asked there"]
