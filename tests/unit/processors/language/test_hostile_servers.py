"""Servers that dawdle, flood, lie, redirect and fail: each call ends in time, with an error that repeats nothing of theirs."""

from __future__ import annotations

import gzip
import json
import logging
import ssl
from pathlib import Path

import pytest

from processors.language.model import ChatMessage, ModelUnavailable
from processors.language.server import LanguageServer
from schemas.errors import JobCancelled
from tests.harness.language_server import (
    KEY,
    Answering,
    Behaviour,
    FakeLanguageServer,
    failing,
    serving_language,
    speaking,
)

CERTIFICATE = Path(__file__).parents[2] / "connectors" / "localhost.pem"
QUESTION = [ChatMessage("system", "Be brief."), ChatMessage("user", "SECRET-PROMPT 안녕?")]


def silent(to: Answering) -> None:
    to.gone.wait(20)


def starting(to: Answering) -> None:
    to.head()
    to.text("a")
    to.gone.wait(20)


def dripping(to: Answering) -> None:
    to.head()
    while not to.gone.wait(0.01):
        to.send(b": still there\n")


@pytest.mark.parametrize("slow", [silent, starting, dripping])
def test_a_slow_server_meets_the_time_limit(fake: FakeLanguageServer, slow: Behaviour) -> None:
    fake.does(slow)
    model = LanguageServer(fake.url, "m", timeout_s=0.3)
    with pytest.raises(ModelUnavailable) as late:
        model.generate(QUESTION, max_tokens=9)
    assert late.value.reason == "timeout"
    model.close()


@pytest.mark.parametrize("slow", [silent, starting, dripping])
def test_a_cancelled_job_stops_at_once(fake: FakeLanguageServer, model: LanguageServer, slow: Behaviour) -> None:
    """The server would go on for 20 s, and the time limit is 5 s: only the cancel ends it as cancelled."""

    def cancelled() -> bool:
        return bool(fake.bodies)

    fake.does(slow)
    with pytest.raises(JobCancelled):
        model.generate(QUESTION, max_tokens=9, cancelled=cancelled)


def test_a_server_with_tls_is_verified_and_a_cancel_ends_its_silence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    with serving_language(tls) as fake:
        fake.does(speaking("ok"), starting)
        with pytest.raises(ModelUnavailable, match="can't be reached"):
            LanguageServer(fake.url, "m", timeout_s=5).generate(QUESTION, max_tokens=9)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        model = LanguageServer(fake.url, "m", KEY, timeout_s=5)
        assert model.generate(QUESTION, max_tokens=9).text == "ok"
        with pytest.raises(JobCancelled):
            model.generate(QUESTION, max_tokens=9, cancelled=lambda: len(fake.bodies) > 1)
        model.close()


def endless(to: Answering) -> None:
    to.head()
    while not to.gone.is_set():
        to.text("blah " * 10_000)


def long_line(to: Answering) -> None:
    to.head()
    while not to.gone.is_set():
        to.send(b"x" * 65_536)


def long_event(to: Answering) -> None:
    to.head()
    while not to.gone.is_set():
        to.send(b"data: [\n" * 8192)


def long_whole(to: Answering) -> None:
    to.head(kind="application/json")
    while not to.gone.is_set():
        to.send(b" " * (1 << 20))


@pytest.mark.parametrize("flood", [endless, long_line, long_event, long_whole])
def test_a_flood_is_cut_off(fake: FakeLanguageServer, model: LanguageServer, flood: Behaviour) -> None:
    fake.does(flood)
    with pytest.raises(ModelUnavailable, match="more than") as flooded:
        model.generate(QUESTION, max_tokens=9)
    assert flooded.value.reason == "too_long"


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: []\n\n",
        b"data: {}\n\n",
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"error": {"message": "SECRET-PROMPT", "type": "server_error"}}\n\n',
        b"data: \xff\xfe\n\n",
        b"data: " + b"9" * 5000 + b"\n\n",
    ],
)
def test_garbled_streams_are_refused_unquoted(fake: FakeLanguageServer, model: LanguageServer, data: bytes) -> None:
    def garble(to: Answering) -> None:
        to.head()
        to.send(data)

    fake.does(garble)
    with pytest.raises(ModelUnavailable) as garbled:
        model.generate(QUESTION, max_tokens=9)
    assert garbled.value.reason == "garbled"
    assert "SECRET" not in str(garbled.value)


def test_a_compressed_answer_is_not_unpacked(fake: FakeLanguageServer, model: LanguageServer) -> None:
    def bomb(to: Answering) -> None:
        to.head(Content_Encoding="gzip")
        to.send(gzip.compress(b"data: " + b"x" * 1000))

    fake.does(bomb)
    with pytest.raises(ModelUnavailable, match="compressed"):
        model.generate(QUESTION, max_tokens=9)


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "LLM_API_KEY"), (403, "LLM_API_KEY"), (404, "LLM_MODEL"), (429, "too much to do"), (500, "Its log")],
)
def test_an_error_is_named_and_its_text_is_not(
    fake: FakeLanguageServer, model: LanguageServer, status: int, says: str
) -> None:
    body = {"error": {"message": "cannot complete 'SECRET-PROMPT'", "type": "a_kind", "code": status}}
    fake.does(failing(status, json.dumps(body), Retry_After="17"))
    with pytest.raises(ModelUnavailable, match=says) as refused:
        model.generate(QUESTION, max_tokens=9)
    assert f"answered {status} (a_kind)" in str(refused.value)
    assert "SECRET" not in str(refused.value)
    assert refused.value.retry_after_s == 17
    assert len(fake.bodies) == 1


@pytest.mark.parametrize(
    "body", ["", "<html>SECRET-PROMPT", "[" * 100_000, '{"error": "SECRET-PROMPT"}', "x" * 200_000]
)
def test_an_error_may_have_any_body(fake: FakeLanguageServer, model: LanguageServer, body: str) -> None:
    fake.does(failing(503, body, kind="text/html"))
    with pytest.raises(ModelUnavailable, match=r"answered 503\. ") as refused:
        model.generate(QUESTION, max_tokens=9)
    assert "SECRET" not in str(refused.value)


def test_a_redirect_is_not_followed(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.does(failing(307, Location="http://127.0.0.1:1/v1/chat/completions"))
    with pytest.raises(ModelUnavailable, match="redirects"):
        model.generate(QUESTION, max_tokens=9)
    assert len(fake.bodies) == 1


def test_the_key_is_in_no_log_and_no_error(
    fake: FakeLanguageServer, model: LanguageServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.does(speaking("ok"), failing(401, json.dumps({"error": {"message": KEY, "code": KEY + "!"}})))
    model.generate(QUESTION, max_tokens=9)
    with pytest.raises(ModelUnavailable) as refused:
        model.generate(QUESTION, max_tokens=9)
    assert KEY not in caplog.text + repr(refused.value) + str(refused.value) + repr(model)
    assert "SECRET-PROMPT" not in caplog.text
