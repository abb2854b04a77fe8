"""Answers that have to meet a JSON schema: asked for, validated, corrected once."""

from __future__ import annotations

import pytest

from processors.language.model import ChatMessage, ModelAnswerInvalid, ModelUnavailable
from processors.language.server import LanguageServer
from tests.harness.language_server import (
    FakeLanguageServer,
    failing,
    speaking,
)

QUESTION = [ChatMessage("system", "Be brief."), ChatMessage("user", "SECRET-PROMPT 안녕?")]
SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "maximum": 10}},
    "required": ["score"],
    "additionalProperties": False,
}


def test_a_schema_is_asked_for_and_the_answer_decoded(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.says('```json\n{"sco', 're": 3}\n```')
    answer = model.generate(QUESTION, max_tokens=9, schema=SCHEMA)
    assert (answer.text, answer.value) == ('{"score": 3}', {"score": 3})
    assert fake.bodies[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert '"score"' in fake.bodies[0]["messages"][-1]["content"]


WRONG = [
    "no json",
    '{"score": 11}',
    '{"score": "3"}',
    "{}",
    '{"score": 3, "more": "SECRET-ANSWER"}',
    '{"score": NaN}',
    "[" * 100_000,
    '{"score": 3',
    '{"score": 3, "\\ud800": 1}',
    '{"score": 3, "\\u0000": 1}',
]


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_breaks_the_schema_is_corrected_once(
    fake: FakeLanguageServer, model: LanguageServer, wrong: str
) -> None:
    fake.says(wrong)
    fake.says('{"score": 4}')
    pieces: list[str] = []
    answer = model.generate(QUESTION, max_tokens=9, schema=SCHEMA, on_text=pieces.append)
    assert answer.value == {"score": 4}
    assert answer.tokens == 2
    assert pieces == [wrong, "\n\n", '{"score": 4}']
    assert [each["role"] for each in fake.bodies[1]["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("wrong", WRONG)
def test_two_answers_that_break_the_schema_are_invalid(
    fake: FakeLanguageServer, model: LanguageServer, wrong: str
) -> None:
    fake.says(wrong)
    with pytest.raises(ModelAnswerInvalid) as invalid:
        model.generate(QUESTION, max_tokens=9, schema=SCHEMA)
    assert len(fake.bodies) == 2
    assert "SECRET" not in str(invalid.value)


def test_a_server_without_structured_answers_is_asked_plainly(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.does(failing(422, "{}"), speaking('{"score": 1}'))
    for _ in range(2):
        assert model.generate(QUESTION, max_tokens=9, schema=SCHEMA).value == {"score": 1}
    assert ["response_format" in body for body in fake.bodies] == [True, False, False]
    assert ["stream_options" in body for body in fake.bodies] == [True, False, False]


def test_a_refusal_for_another_reason_is_not_remembered(fake: FakeLanguageServer, model: LanguageServer) -> None:
    fake.does(failing(400, "{}"), failing(400, "{}"), speaking('{"score": 1}'))
    with pytest.raises(ModelUnavailable, match="answered 400"):
        model.generate(QUESTION, max_tokens=9, schema=SCHEMA)
    model.generate(QUESTION, max_tokens=9, schema=SCHEMA)
    assert "response_format" in fake.bodies[2]
