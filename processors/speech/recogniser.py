"""The port of a speech recogniser. `whisper.py` implements it, and `sphinx.py` where faster-whisper is not installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from processors.speech.audio import Samples


@dataclass(frozen=True, slots=True)
class Heard:
    """The text of one turn. `cut`: why the text is incomplete or missing, as a clause; None: it is complete."""

    text: str
    cut: str | None = None


class Recogniser(Protocol):
    """`name` and `sha256` of the model; `device`: cpu or cuda:N, where it runs. `fallback_reason`: why another device or engine
    was taken than the one asked for; None: it was not. `languages`: codes that the model knows."""

    name: str
    sha256: str
    device: str
    fallback_reason: str | None
    languages: frozenset[str]

    def detect(self, samples: Samples) -> tuple[str, float]:
        """Return the code and the probability of the language in the first 30 s."""
        ...

    def hear(self, samples: Samples, language: str, limit_s: float, cancelled: Callable[[], bool]) -> Heard:
        """Return the text of one turn: at most 30 s of samples. `limit_s`: time limit of the call. Raises JobCancelled."""
        ...
