"""PocketSphinx as the recogniser of English where faster-whisper is not installed (extra `speech-fallback`).

It makes many times the errors of Whisper (CARD.md), so it is never chosen where Whisper could run, and results name it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pocketsphinx

from processors.speech.audio import RATE, Samples, pcm
from processors.speech.recogniser import Heard
from schemas.errors import JobCancelled

#: Samples between two looks at the clock and the job's cancellation.
STEP = RATE // 2


class Sphinx:
    """A `Recogniser` of English; see there."""

    name = "pocketsphinx-en-us"
    device = "cpu"
    languages = frozenset({"en"})

    def __init__(self) -> None:
        self.fallback_reason: str | None = (
            "PocketSphinx is used, because faster-whisper is not installed: it makes many times the errors of Whisper."
        )
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL")
        self.sha256 = _hash_of(Path(pocketsphinx.get_model_path("en-us")))

    def detect(self, samples: Samples) -> tuple[str, float]:
        raise NotImplementedError(f"{self.name} knows one language, so there is nothing to detect.")

    def hear(self, samples: Samples, language: str, limit_s: float, cancelled: Callable[[], bool]) -> Heard:
        end = time.monotonic() + limit_s
        raw = pcm(samples)
        cut = None
        self._decoder.start_utt()
        try:
            for at in range(0, len(samples), STEP):
                if cancelled():
                    raise JobCancelled("The job was stopped during its transcription.")
                if time.monotonic() > end:
                    cut = "the time limit of a turn has passed"
                    break
                self._decoder.process_raw(raw[2 * at : 2 * (at + STEP)])
        finally:
            self._decoder.end_utt()
        found = self._decoder.hyp()
        return Heard(found.hypstr.strip() if found else "", cut)


def _hash_of(folder: Path) -> str:
    """Return a hash of the model: of its files' names and contents."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
