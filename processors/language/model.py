"""The port of a language model: messages in, a text out, and the errors by which a processor falls back to its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from schemas.errors import ConnectionFailed, JobError


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A model's answer.

    Attributes:
        text: The answer; with a schema, JSON that meets it.
        model: The name of the model that gave it.
        tokens: How many tokens were generated, as the model counts them; of a server that does not say, the number of pieces.
        cut: True if the answer ended because it reached `max_tokens`.
        value: The decoded answer if a schema was given, else None.
        note: How the model runs, if that is not as asked for: on the CPU, because CUDA is broken, with the error in a line.
    """

    text: str
    model: str
    tokens: int
    cut: bool = False
    value: Any = None
    note: str = ""


def never() -> bool:
    """Return False: the job can't be cancelled."""
    return False


class LanguageModel(Protocol):
    """A model that is ready to answer. Use it from one thread at a time."""

    #: Named in results: LLM_MODEL, or the name of the directory.
    name: str

    def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> Generated:
        """Return the answer to a conversation.

        Args:
            messages: The conversation; the last message is the user's.
            max_tokens: Where the answer is cut.
            temperature: 0 always takes the likeliest token.
            schema: A JSON schema (draft 2020-12) that the answer has to meet. An answer that does not is corrected by the
                model once.
            on_text: Called with each piece of text as it is made. If the answer is corrected, the pieces of the second one
                follow after an empty line. An answer of which pieces were seen may still fail.
            cancelled: Asked about ten times a second, from another thread too; the answer then ends.

        Raises:
            ModelUnavailable: There is no answer, or only a part of one. What was received is dropped.
            ModelAnswerInvalid: The corrected answer does not meet the schema either.
            JobCancelled: `cancelled` returned True.
        """
        ...


class ModelUnavailable(ConnectionFailed):
    """The model gave no whole answer: no server, one that died in mid-stream or refused, or the time limit passed.

    Processors catch it and answer by their default. `reason`: a short code for results: "connect", "refused", "interrupted",
    "timeout", "garbled", "too_long".
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "interrupted",
        next_step: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step, retry_after_s=retry_after_s)
        self.reason = reason


class ModelAnswerInvalid(JobError):
    """The model answered, and neither its answer nor the corrected one meets the schema.

    The message names the rule of the schema that was broken, never the answer.
    """

    reason = "invalid_answer"
