"""Makes a model's answer meet a JSON schema: says so in the prompt, validates, and lets the model correct it once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from processors.language.model import ChatMessage, Generated, ModelAnswerInvalid

#: Characters of a wrong answer that the model is shown again.
SHOWN = 4000
_THOUGHT = "</think>"
_ORDER = "Answer with JSON alone, without any text around it. It has to meet this JSON schema:\n{schema}"
_CORRECT = "This answer does not meet the schema: {fault}. Answer again, with JSON alone that meets it."


class Unmet(Exception):
    """An answer does not meet its schema. `rule`: which rule of the schema. `fault`: for the model alone; quotes the answer."""

    def __init__(self, rule: str, fault: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.fault = fault


def generate_valid(
    ask: Callable[[Sequence[ChatMessage]], Generated],
    messages: Sequence[ChatMessage],
    schema: Mapping[str, Any],
    on_text: Callable[[str], None] | None,
) -> Generated:
    """Return an answer that meets `schema`, with its decoded value. `ask` generates one answer.

    Raises ModelAnswerInvalid after two answers that do not, and whatever `ask` raises.
    """
    asked = with_order(messages, schema)
    first = ask(asked)
    try:
        return _with_value(first, schema)
    except Unmet as unmet:
        corrected = [
            *asked,
            ChatMessage("assistant", first.text[:SHOWN]),
            ChatMessage("user", _CORRECT.format(fault=unmet.fault[:SHOWN])),
        ]
    if on_text is not None:
        on_text("\n\n")
    second = ask(corrected)
    try:
        return _with_value(replace(second, tokens=first.tokens + second.tokens), schema)
    except Unmet as unmet:
        raise ModelAnswerInvalid(
            f"The language model {second.model} did not meet the JSON schema, nor after a correction: {unmet.rule}.",
            next_step="Use a larger model, or a server that enforces response_format.",
        ) from None


def decoded(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value of an answer. A thought before it and a fence of Markdown around it are passed over. Raises Unmet."""
    text = text.rpartition(_THOUGHT)[2].strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].strip().removeprefix("json").strip()
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair can't be stored
    except (ValueError, RecursionError) as error:
        raise Unmet("it is not JSON", "it is not JSON") from error
    if "\\u0000" in text:
        raise Unmet("it holds a NUL, which no database stores", "it holds a NUL character")
    validator = Draft202012Validator(schema)
    fault: ValidationError | None = best_match(validator.iter_errors(value))
    if fault is not None:
        rule = "/".join(str(part) for part in fault.absolute_schema_path)
        raise Unmet(f"the rule {rule} is broken", fault.message)
    return value


def _with_value(answer: Generated, schema: Mapping[str, Any]) -> Generated:
    value = decoded(answer.text, schema)
    return replace(answer, text=json.dumps(value, ensure_ascii=False), value=value)


def with_order(messages: Sequence[ChatMessage], schema: Mapping[str, Any]) -> list[ChatMessage]:
    """Put the schema into the last message: some models' templates know no system role, and not every server enforces it."""
    order = _ORDER.format(schema=json.dumps(schema, ensure_ascii=False))
    last = messages[-1]
    return [*messages[:-1], ChatMessage(last.role, f"{last.content}\n\n{order}")]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
