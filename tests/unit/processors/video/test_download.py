"""Films are fetched from public addresses and those that the operator allows, within limits; each failure has its code."""

from __future__ import annotations

import itertools
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processors.video.download import REDIRECTS, Downloader, DownloadRefused
from schemas.addresses import AllowRules
from schemas.errors import ConnectionFailed, ErrorCode, JobCancelled, PayloadTooLarge
from tests.unit.processors.video.film_server import Answer, serving

SECRET = "token=abc123"
CERTIFICATE = Path(__file__).parents[2] / "connectors/localhost.pem"  # for `localhost`; its key is public


def downloader(allow: str = "localhost", max_bytes: int = 1 << 20, limit_s: float = 20.0) -> Downloader:
    return Downloader(AllowRules.parse(allow, "VIDEO_ALLOW"), max_bytes, limit_s)


def refused(url: str, folder: Path, of: Downloader | None = None) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        (of or downloader()).fetch(url, folder / "film")
    assert caught.value.code == ErrorCode.CONNECTION_ERROR
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_film_is_fetched_as_it_is_with_its_progress(tmp_path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    with serving({"/a.mp4": Answer(pieces=(b"ab", b"cd"), length=4)}) as films:
        downloader().fetch(
            f"{films.url}/a.mp4?{SECRET}", tmp_path / "film", on_bytes=lambda *done: reported.append(done)
        )
    assert (tmp_path / "film").read_bytes() == b"abcd"
    assert reported[-1] == (4, 4)
    path, headers = films.asked[0]
    assert path == f"/a.mp4?{SECRET}"
    assert headers["Host"] == films.url.removeprefix("http://")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "example.org/a",
        "",
        "http://",
        "http://u:p@example.org/",
        "http://a\n/",
    ],
)
def test_an_address_that_is_no_web_address_is_refused_for_good(url: str, tmp_path: Path) -> None:
    assert not refused(url, tmp_path).retryable


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "10.0.0.1"],
)
def test_a_private_address_in_any_spelling_is_refused_unless_it_is_allowed(host: str, tmp_path: Path) -> None:
    error = refused(f"http://{host}/a.mp4", tmp_path, downloader(allow=""))
    assert not error.retryable
    assert "VIDEO_ALLOW" in str(error)


def test_a_redirect_is_checked_like_the_address_itself(tmp_path: Path) -> None:
    with serving(
        {"/a": Answer(302, {"Location": "http://10.0.0.1/b"}, ()), "/b": Answer(302, {"Location": "file:///b"}, ())}
    ) as films:
        for path in ("/a", "/b"):
            assert isinstance(refused(films.url + path, tmp_path), DownloadRefused)


def test_a_redirect_leads_to_the_film_and_a_circle_ends(tmp_path: Path) -> None:
    answers = {
        "/a": Answer(302, {"Location": "b.mp4"}, ()),
        "/b.mp4": Answer(),
        "/c": Answer(302, {"Location": "/c"}, ()),
    }
    with serving(answers) as films:
        downloader().fetch(f"{films.url}/a", tmp_path / "film")
        assert (tmp_path / "film").read_bytes() == b"film"
        films.asked.clear()
        refused(f"{films.url}/c", tmp_path)
        assert len(films.asked) == REDIRECTS + 1


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to a public address for the check and to a private one for the connection gains nothing."""
    resolve, answers = socket.getaddrinfo, itertools.chain(["93.184.215.14"], itertools.repeat("127.0.0.1"))
    connected: list[Any] = []

    def rebinding(host: Any, *args: Any, **more: Any) -> Any:
        return resolve(next(answers) if host == "films.example" else host, *args, **more)

    def connect(address: Any, *args: Any, **more: Any) -> socket.socket:
        connected.append(address[0])
        raise OSError("no way there")

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", connect)
    refused("http://films.example/a.mp4", tmp_path, downloader(allow=""))
    assert connected == ["93.184.215.14"]


@pytest.mark.parametrize(
    "answer", [Answer(length=2000), Answer(pieces=(b"x" * 2000,))], ids=["by its header", "by its bytes"]
)
def test_a_film_that_is_too_large_is_refused(answer: Answer, tmp_path: Path) -> None:
    with serving({"/a": answer}) as films, pytest.raises(PayloadTooLarge, match="MiB"):
        downloader(max_bytes=1000).fetch(f"{films.url}/a", tmp_path / "film")


def test_a_download_that_takes_too_long_ends(tmp_path: Path) -> None:
    with serving({"/a": Answer(pieces=(b"a", b"b"))}) as films:
        error = refused(f"{films.url}/a", tmp_path, downloader(limit_s=0.0))
    assert "within" in str(error)
    assert error.retryable


def test_a_film_that_breaks_off_is_tried_again(tmp_path: Path) -> None:
    with serving({"/a": Answer(length=100)}) as films:
        assert refused(f"{films.url}/a?{SECRET}", tmp_path).retryable


def test_a_server_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert refused(f"http://127.0.0.1:{port}/a?{SECRET}", tmp_path).retryable


def test_a_film_that_is_gone_is_final_and_a_busy_server_says_when_to_come_back(tmp_path: Path) -> None:
    answers = {"/gone": Answer(404), "/busy": Answer(503, {"Retry-After": "7"}), "/empty": Answer(pieces=(), length=0)}
    with serving(answers) as films:
        assert not refused(f"{films.url}/gone?{SECRET}", tmp_path).retryable
        assert not refused(f"{films.url}/empty", tmp_path).retryable
        busy = refused(f"{films.url}/busy", tmp_path)
    assert busy.retryable
    assert busy.retry_after_s == 7


def test_a_cancelled_job_stops_its_download(tmp_path: Path) -> None:
    with serving({"/a": Answer(pieces=(b"x", None))}) as films, pytest.raises(JobCancelled):
        downloader().fetch(f"{films.url}/a", tmp_path / "film", cancelled=lambda: True)


def test_the_certificate_must_be_that_of_the_host_and_not_of_the_address(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    trusting = replace(downloader(), tls=ssl.create_default_context(cafile=str(CERTIFICATE)))
    with serving({"/a": Answer()}, tls) as films:
        by_name = films.url.replace("127.0.0.1", "localhost")
        trusting.fetch(f"{by_name}/a", tmp_path / "film")
        assert (tmp_path / "film").read_bytes() == b"film"
        refused(f"{films.url}/a", tmp_path, trusting)
        refused(f"{by_name}/a", tmp_path)  # the system does not trust it
