"""The client of Orthanc against a server whose answers the test sets: logins, errors, silence, and series that still grow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from processors.mri_lab import orthanc
from processors.mri_lab.orthanc import LoginRefused, Orthanc
from schemas.errors import ConnectionFailed, InvalidInput, JobCancelled, NotFound, StartupError, StoreUnavailable

ID = "-".join(["0123abcd"] * 5)
BASIC = "Basic bGFiOmdlaGVpbQ=="  # lab:geheim
#: Status and body; None closes the connection without an answer.
Answer = tuple[int, bytes] | None


class Fake:
    """`answers`: by method and path, a list whose last answer is repeated. `asked`: the requests, `logins`: their headers."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.logins: set[str | None] = set()
        self.url = ""

    def says(self, request: str, *answers: Answer | object) -> None:
        self.answers[request] = [
            answer if answer is None or isinstance(answer, tuple) else (200, json.dumps(answer).encode())
            for answer in answers
        ]

    def series(self, *stable: bool, instances: tuple[str, ...] = ("a", "b")) -> None:
        self.says(f"GET /series/{ID}", *({"ID": ID, "Instances": instances, "IsStable": each} for each in stable))


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = f"{self.command} {self.path}"
            fake.asked.append(request)
            fake.logins.add(self.headers.get("Authorization"))
            waiting = fake.answers.get(request, [(404, b"")])
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if answer is None:
                self.close_connection = True
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    for name in ("FIRST_WAIT_S", "QUIET_POLL_S"):
        monkeypatch.setattr(orthanc, name, 0.001)
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def client(fake: Fake) -> Iterator[Orthanc]:
    made = Orthanc(fake.url, "lab", "geheim", timeout_s=5.0)
    yield made
    made.close()


def never() -> bool:
    return False


def test_a_series_is_found_by_either_id(fake: Fake, client: Orthanc) -> None:
    fake.series(True)
    fake.says("POST /tools/lookup", [{"ID": "other", "Type": "Study"}, {"ID": ID, "Type": "Series"}])
    found = client.find_series(ID)
    assert (found.orthanc_id, found.instances, found.stable) == (ID, ("a", "b"), True)
    assert client.find_series("1.2.3") == found
    assert fake.logins == {BASIC}


def test_a_missing_series_is_not_found_and_not_asked_for_again(fake: Fake, client: Orthanc) -> None:
    fake.says("POST /tools/lookup", [])
    for missing in (ID, "1.2.3"):
        with pytest.raises(NotFound, match="is not in the Orthanc"):
            client.find_series(missing)
    assert len(fake.asked) == 2


@pytest.mark.parametrize("odd", ["../../system", "a b", "1.2.3?x", "", "0123abcd", ID.upper()])
def test_an_id_that_is_none_never_becomes_a_path(fake: Fake, client: Orthanc, odd: str) -> None:
    with pytest.raises(InvalidInput):
        client.find_series(odd)
    assert fake.asked == []


def test_a_refused_login_is_named_without_the_password(fake: Fake, client: Orthanc) -> None:
    fake.says("GET /system", (401, b""))
    with pytest.raises(LoginRefused, match="refuses the login") as refused:
        client.check()
    assert "geheim" not in str(refused.value)
    assert len(fake.asked) == 1


def test_credentials_in_the_url_log_in_and_are_in_no_message(fake: Fake) -> None:
    fake.says("GET /pacs/system", {}, (500, b""))
    client = Orthanc(fake.url.replace("//", "//lab:geheim@") + "/pacs/")
    client.check()
    assert fake.logins == {BASIC}
    with pytest.raises(ConnectionFailed) as failed:
        client.check()
    assert "geheim" not in str(failed.value)
    assert "pacs" not in str(failed.value)
    client.close()


@pytest.mark.parametrize("away", [None, (503, b""), (502, b"<html>")])
def test_a_server_that_is_away_for_a_moment_is_asked_again(fake: Fake, client: Orthanc, away: Answer) -> None:
    fake.says("GET /system", away, away, {})
    client.check()
    assert len(fake.asked) == 3


def test_a_server_that_stays_away_makes_the_job_wait(fake: Fake, client: Orthanc) -> None:
    fake.says("GET /system", None)
    with pytest.raises(StoreUnavailable, match="did not answer") as away:
        client.check()
    assert away.value.code == "CONNECTION_ERROR"
    assert away.value.retryable
    assert len(fake.asked) == orthanc.TRIES


def test_a_server_that_is_silent_is_given_up_after_a_time() -> None:
    import socket

    with socket.socket() as deaf, pytest.MonkeyPatch.context() as patch:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        patch.setattr(orthanc, "TRIES", 1)
        client = Orthanc(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(StoreUnavailable, match="ReadTimeout"):
            client.check()
        client.close()


@pytest.mark.parametrize(
    ("answer", "said"), [((500, b""), "failed"), ((200, b"<html>"), "not JSON"), ((302, b""), "answered 302")]
)
def test_other_answers_are_errors_that_say_what_came(fake: Fake, client: Orthanc, answer: Answer, said: str) -> None:
    fake.says("GET /system", answer)
    with pytest.raises(ConnectionFailed, match=said):
        client.check()


@pytest.mark.parametrize("url", ["orthanc:8042", "ftp://host", "http://", "http://host:port", "http://a:geheim@[::1"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="ORTHANC_URL") as refused:
        Orthanc(url)
    assert "geheim" not in str(refused.value)


def test_a_series_that_grows_is_waited_for(fake: Fake, client: Orthanc) -> None:
    fake.series(False, False, True)
    assert client.wait_until_stable(ID, never).stable
    assert len(fake.asked) == 3


def test_a_series_that_grows_for_ever_is_left_for_later(
    fake: Fake, client: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthanc, "QUIET_WAIT_S", 0.0)
    fake.series(False)
    with pytest.raises(StoreUnavailable, match="still grows: 2 files") as grows:
        client.wait_until_stable(ID, never)
    assert grows.value.retry_after_s == orthanc.QUIET_RETRY_S


def test_a_cancel_ends_the_wait(fake: Fake, client: Orthanc) -> None:
    fake.series(False)
    with pytest.raises(JobCancelled):
        client.wait_until_stable(ID, lambda: True)


def test_files_are_fetched_and_one_that_broke_off_is_fetched_again(fake: Fake, client: Orthanc, tmp_path: Path) -> None:
    fake.series(True)
    fake.says("GET /instances/a/file", None, (200, b"first"))
    fake.says("GET /instances/b/file", (200, b"second"))
    paths = list(client.fetch(client.find_series(ID), tmp_path))
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]


def test_a_file_that_is_gone_fails_the_attempt(fake: Fake, client: Orthanc, tmp_path: Path) -> None:
    fake.series(True)
    with pytest.raises(ConnectionFailed, match="no longer"):
        list(client.fetch(client.find_series(ID), tmp_path))


def stored(client: Orthanc, folder: Path) -> str:
    path = folder / "seg.dcm"
    path.write_bytes(b"SEG")
    return client.store(path, "2.25.1")


def test_an_object_that_is_there_is_not_stored_again(fake: Fake, client: Orthanc, tmp_path: Path) -> None:
    fake.says("POST /tools/lookup", [{"ID": "seg", "Type": "Instance"}])
    assert stored(client, tmp_path) == "seg"
    assert fake.asked == ["POST /tools/lookup"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"00081198": {"vr": "SQ", "Value": [{}]}}, "did not store"),
        ((404, b""), "DICOMweb plugin"),
        ({"00081198": {"vr": "SQ"}}, "does not have it"),
    ],
)
def test_an_object_that_was_not_stored_is_an_error(
    fake: Fake, client: Orthanc, tmp_path: Path, answer: object, said: str
) -> None:
    fake.says("POST /tools/lookup", [])
    fake.says("POST /dicom-web/studies", answer)
    with pytest.raises(ConnectionFailed, match=said):
        stored(client, tmp_path)


def test_an_object_whose_answer_was_lost_is_found(fake: Fake, client: Orthanc, tmp_path: Path) -> None:
    fake.says("POST /tools/lookup", [], [{"ID": "seg", "Type": "Instance"}])
    fake.says("POST /dicom-web/studies", None, {"00081198": {"vr": "SQ"}})
    assert stored(client, tmp_path) == "seg"
