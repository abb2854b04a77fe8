"""The client of OpenAI-compatible servers: streams, servers that are gone or die, and settings."""

from __future__ import annotations

import json
import pickle
import socket
import threading

import pytest

from processors.language.model import ChatMessage, ModelUnavailable
from processors.language.server import LanguageServer
from schemas.errors import StartupError
from tests.harness.language_server import (
    KEY,
    Answering,
    FakeLanguageServer,
    dying,
    failing,
    speaking,
)

QUESTION = [ChatMessage("system", "Be brief."), ChatMessage("user", "SECRET-PROMPT 안녕?")]


def test_an_answer_comes_in_pieces(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.does(speaking("안녕", "하세요", " 😀", tokens=7))
    pieces: list[str] = []
    answer = model.generate(QUESTION, max_tokens=20, temperature=0.3, on_text=pieces.append)
    assert (answer.text, answer.tokens, answer.model, answer.cut) == ("안녕하세요 😀", 7, "fake-model", False)
    assert pieces == ["안녕", "하세요", " 😀"]
    assert fake.paths == ["/v1/chat/completions"]
    assert fake.keys == [f"Bearer {KEY}"]
    assert fake.bodies[0]["messages"][1] == {"role": "user", "content": "SECRET-PROMPT 안녕?"}
    assert (fake.bodies[0]["max_tokens"], fake.bodies[0]["temperature"]) == (20, 0.3)


def test_pieces_arrive_while_the_server_still_speaks(fake: FakeLanguageServer, model: LanguageServer) -> None:
    seen = threading.Event()

    def half(to: Answering) -> None:
        to.head()
        to.text("first")
        assert seen.wait(5)
        to.text(" second")
        to.finish()

    fake.does(half)
    assert model.generate(QUESTION, max_tokens=9, on_text=lambda _: seen.set()).text == "first second"


def test_a_cut_answer_says_so(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.does(speaking("one", " two", finish="length"))
    answer = model.generate(QUESTION, max_tokens=2)
    assert (answer.cut, answer.tokens) == (True, 2)


def test_an_answer_that_was_not_streamed_counts_too(fake: FakeLanguageServer, model: LanguageServer) -> None:
    whole = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    fake.does(failing(200, json.dumps(whole)))
    assert model.generate(QUESTION, max_tokens=9).text == "all at once"


def test_odd_but_valid_streams_are_read(fake: FakeLanguageServer, model: LanguageServer) -> None:
    """Comments, other fields, carriage returns, events cut anywhere, roles and thoughts without content, lone surrogates."""
    events = (
        ": ping\r\n\r\nevent: x\r\nid: 1\r\n"
        'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\r\n\r\n'
        'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
        'data:{"choices":[{"delta":{"content":"안\\ud83d\\u0000"}}]}\n\n'
        'data: {"choices":\ndata: [{"delta":{"content":"녕"},"finish_reason":"stop"}]}\n\n'
    ).encode()

    def drip(to: Answering) -> None:
        to.head()
        for byte in events:
            to.send(bytes([byte]))

    fake.does(drip)
    assert model.generate(QUESTION, max_tokens=9).text == "안�녕"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_killed_in_mid_stream_drops_what_it_said(
    fake: FakeLanguageServer, model: LanguageServer, chunked: bool
) -> None:
    def chunks(to: Answering) -> None:
        to.head(Transfer_Encoding="chunked")
        to.send(b'40\r\ndata: {"choices":[{"delta":{"content":"PARTIAL"}}]}\n')

    fake.does(chunks if chunked else dying("PARTIAL"))
    with pytest.raises(ModelUnavailable, match=r"the part is dropped|in mid-stream") as died:
        model.generate(QUESTION, max_tokens=9)
    assert died.value.reason == "interrupted"
    assert "PARTIAL" not in str(died.value)


def test_no_server_is_named_without_its_path() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        model = LanguageServer(f"http://127.0.0.1:{closed.getsockname()[1]}/secret/v1", "m", timeout_s=5)
        with pytest.raises(ModelUnavailable, match="can't be reached") as gone:
            model.generate(QUESTION, max_tokens=9)
    assert gone.value.reason == "connect"
    assert gone.value.retryable
    assert "secret" not in str(gone.value)
    model.close()


@pytest.mark.parametrize(
    ("url", "name", "key"),
    [
        ("llm:8000", "m", ""),
        ("http://", "m", ""),
        ("http://h:99999/v1", "m", ""),
        ("http://user:geheim@h/v1", "m", ""),
        ("http://h/v1?key=geheim", "m", ""),
        ("http://h\n/geheim", "m", ""),
        ("http://h/v1", "", ""),
        ("http://h/v1", "m\n", ""),
        ("http://h/v1", "m", "geheim\nX-Evil: 1"),
        ("http://h/v1", "m", "geheim-키"),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start_and_are_not_repeated(url: str, name: str, key: str) -> None:
    with pytest.raises(StartupError) as refused:
        LanguageServer(url, name, key)
    assert "geheim" not in str(refused.value)


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ModelUnavailable("It is away.", reason="connect", next_step="Start it.")))
    assert str(error) == "It is away. Start it."
