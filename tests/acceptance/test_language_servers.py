"""The client of language models against two servers by other hands, which run offline on one model that is trained here.

Both servers and the model in this process answer alike, word for word: one network, read by three programs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from processors.language.directory_model import DirectoryModel
from processors.language.model import ChatMessage, LanguageModel, ModelAnswerInvalid, ModelUnavailable
from processors.language.server import LanguageServer
from processors.language.tiny_data import LONG, SCORE_SCHEMA, SYSTEM, questions, score_request
from schemas.errors import JobCancelled
from tests.harness.gguf_files import write_gguf
from tests.harness.language_peers import Peer, llama_server, transformers_serve
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.accept

#: A directory that `processors.language.train_tiny` made, to save its 100 s.
TRAINED = os.environ.get("TINY_EXAONE_DIR")
QUESTIONS = list(questions({"en": ["Kafka"], "ko": ["파이썬"]}))
#: The schema of an answer that the model has never learned to give.
UNKNOWN_SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if TRAINED:
        return Path(TRAINED)
    made = tmp_path_factory.mktemp("model") / "tiny-exaone"
    subprocess.run([sys.executable, "-m", "processors.language.train_tiny", str(made)], check=True)
    return made


@dataclass(frozen=True, slots=True)
class Program:
    """A server's program. `enforces`: True if it constrains its tokens by a JSON schema."""

    start: Callable[[], AbstractContextManager[Peer]]
    enforces: bool


@pytest.fixture(scope="module", params=["transformers", "llama.cpp"])
def program(request: pytest.FixtureRequest, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("peer")
    if request.param == "transformers":
        return Program(lambda: transformers_serve(directory, folder / "log"), enforces=False)
    gguf = write_gguf(directory, folder / "tiny-exaone.gguf")
    return Program(lambda: llama_server(gguf, folder / "log"), enforces=True)


@pytest.fixture(scope="module")
def model(program: Program) -> Iterator[LanguageServer]:
    with program.start() as peer:
        model = LanguageServer(peer.url, peer.model, timeout_s=120)
        yield model
        model.close()


@pytest.fixture(scope="module")
def in_process(directory: Path) -> DirectoryModel:
    return DirectoryModel(str(directory), "cpu")


def streamed(model: LanguageModel, conversation: list[ChatMessage]) -> str:
    pieces: list[str] = []
    answer = model.generate(conversation[:-1], max_tokens=60, on_text=pieces.append)
    assert len(pieces) > 1
    assert "".join(pieces) == answer.text
    assert not answer.cut
    return answer.text


def test_answers_are_streamed_and_are_the_networks_own(model: LanguageServer, in_process: DirectoryModel) -> None:
    answers = [streamed(model, conversation) for conversation in QUESTIONS]
    assert answers == [streamed(in_process, conversation) for conversation in QUESTIONS]
    learned = {conversation[-1].content for conversation in QUESTIONS}
    assert sum(answer in learned for answer in answers) >= len(answers) / 2


def test_an_answer_is_cut_at_max_tokens(model: LanguageServer) -> None:
    answer = model.generate(LONG[:-1], max_tokens=10)
    assert answer.cut
    assert answer.tokens == 10


def test_an_answer_meets_its_schema(model: LanguageServer) -> None:
    asked = [ChatMessage("system", SYSTEM), ChatMessage("user", score_request("Kafka", "three"))]
    answer = model.generate(asked, max_tokens=40, schema=SCORE_SCHEMA)
    assert answer.value["score"] in range(6)


def test_a_schema_that_was_never_learned_is_enforced_or_the_answer_refused(
    model: LanguageServer, program: Program
) -> None:
    """llama.cpp constrains the tokens; `transformers serve` ignores the schema, and the client notices."""
    asked = [ChatMessage("user", "Hello.")]
    if program.enforces:
        assert model.generate(asked, max_tokens=30, schema=UNKNOWN_SCHEMA).value == {"a": "x"}
    else:
        with pytest.raises(ModelAnswerInvalid):
            model.generate(asked, max_tokens=30, schema=UNKNOWN_SCHEMA)


def test_a_server_killed_in_mid_stream_is_unavailable(program: Program) -> None:
    with program.start() as peer:
        model = LanguageServer(peer.url, peer.model, timeout_s=60)
        pieces: list[str] = []

        def kill_at_the_third(piece: str) -> None:
            pieces.append(piece)
            if len(pieces) == 3:
                peer.kill()

        with pytest.raises(ModelUnavailable) as died:
            model.generate(LONG[:-1], max_tokens=400, on_text=kill_at_the_third)
        assert died.value.reason == "interrupted"
        assert len(pieces) >= 3
        with pytest.raises(ModelUnavailable) as gone:
            model.generate(LONG[:-1], max_tokens=400)
        assert gone.value.reason == "connect"
        model.close()


def test_a_cancelled_job_stops_and_the_server_answers_the_next(model: LanguageServer) -> None:
    pieces: list[str] = []
    with pytest.raises(JobCancelled):
        model.generate(LONG[:-1], max_tokens=400, on_text=pieces.append, cancelled=lambda: len(pieces) > 2)
    wait_until(lambda: streamed(model, QUESTIONS[0]), lambda: "no answer after a cancel")
