"""Transcribes samples: picks the model for the language, cuts the audio into turns and hears them one after another."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

import numpy as np

from processors.protocol import LoadContext
from processors.speech.audio import RATE, Samples, checked
from processors.speech.models import BASE, TINY_EN, installed, own, shipped
from processors.speech.models import checked as hash_checked
from processors.speech.recogniser import Heard, Recogniser
from processors.speech.turns import Span, turns, widened
from schemas.errors import InvalidInput, StartupError

#: SPEECH_MODEL_DIR: a Whisper model in CTranslate2's format, used for every language that it knows; default: the extra's
#: tiny.en for English, and base for all else. SPEECH_MODEL_SHA256: what its model.bin must hash to; default: not compared.
#: SPEECH_DEVICE: cpu, cuda or cuda:N; default: the worker's device. SPEECH_THREADS: CPU threads; default 0, CTranslate2's own
#: number. SPEECH_TURN_LIMIT_S: seconds that one turn of speech may take; default 60.
SPEECH_OPTIONS = ("SPEECH_MODEL_DIR", "SPEECH_MODEL_SHA256", "SPEECH_DEVICE", "SPEECH_THREADS", "SPEECH_TURN_LIMIT_S")
AUTO = "auto"
#: Below this probability a detected language is named as uncertain.
UNCERTAIN = 0.5
#: (model, language) whose error rate the card has.
MEASURED = {(TINY_EN.sha256, "en"), (BASE.sha256, "en")}


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of audio.

    Attributes:
        text: The texts of the segments, joined by spaces; empty without speech.
        language: As asked for or detected; empty if it was to be detected and there is no speech.
        language_probability: Of the detected language, 0..1. None: it was asked for.
        segments: (start, end, text) of each turn, in seconds. A turn without text is left out.
        speech_s: Seconds of speech.
        model_version: Name of the model.
        model_sha256: sha256 of its weights.
        measured: True if the model card has an error rate for this model and language.
        device: cpu or cuda:N.
        fallback_reason: Why another device or engine was used than the one asked for; None: it was not.
        notes: Sentences for the reader of the result.
    """

    text: str
    language: str
    language_probability: float | None
    segments: tuple[tuple[float, float, str], ...]
    speech_s: float
    model_version: str
    model_sha256: str
    measured: bool
    device: str
    fallback_reason: str | None
    notes: tuple[str, ...]


class Transcriber:
    """Not thread-safe: one transcription at a time.

    `english` and `general` return the engine for English and the one for all other languages; each is called once.
    """

    def __init__(
        self, english: Callable[[], Recogniser], general: Callable[[], Recogniser], turn_limit_s: float = 60.0
    ) -> None:
        self._english, self._general = cache(english), cache(general)
        self._turn_limit_s = turn_limit_s
        self._lock = Lock()

    @property
    def sha256(self) -> str:
        """Return the hash of the model for English, which the extra's base does not change: its own hash is in the code."""
        return self._english().sha256

    def engine(self, language: str) -> tuple[Recogniser, str]:
        """Return the engine for a language, and its code in the engine's spelling ("en-GB" is en).

        Raises InvalidInput for a language that the model lacks, and for "auto" with a model of one language.
        """
        code = language.strip().lower().partition("-")[0]
        with self._lock:
            engine = self._english() if code == "en" else self._general()
        if code == AUTO:
            if len(engine.languages) > 1:
                return engine, code
            only = next(iter(engine.languages))
            raise InvalidInput(
                f"The model {engine.name} can't detect the language: it has only {only}.",
                next_step=f"Name the language {only} if it is that, or serve a model with several languages.",
            )
        if code not in engine.languages:
            near = difflib.get_close_matches(code, sorted(engine.languages), n=1)
            raise InvalidInput(
                f"The model {engine.name} lacks the language {code[:20]!r}.",
                next_step=f"Did you mean {near[0]}?" if near else "Give a code such as en or ko, or auto.",
            )
        return engine, code

    def transcribe(
        self,
        samples: Samples,
        language: str,
        cancelled: Callable[[], bool] = lambda: False,
        *,
        spans: Sequence[Span] | None = None,
        on_segment: Callable[[float, float, str], None] | None = None,
    ) -> Transcript:
        """Return the text of samples (float32, mono, 16 kHz).

        Args:
            language: A code such as en or ko; auto: detected in the first 30 s of speech, for the whole audio.
            cancelled: Asked several times a second.
            spans: (start, end) of each turn in seconds; None: `turns(samples)`. Text after the first 30 s of one is left out.
            on_segment: Called after each turn with its start, its end and its text, which may be empty.

        Raises InvalidInput for samples with NaN and a language that the model lacks, JobCancelled.
        """
        engine, code = self.engine(language)
        samples = checked(samples)
        found = list(turns(samples) if spans is None else spans)
        probability, notes = None, list[str]()
        if code == AUTO:
            code, probability = _detected(engine, samples, found, notes)
        segments = []
        for span, heard in self._heard(engine, samples, found, code, cancelled):
            if heard.cut:
                lost = "is cut" if heard.text else "is left out"
                notes.append(f"The text from {span[0]:.1f} to {span[1]:.1f} s {lost}: {heard.cut}.")
            if heard.text:
                segments.append((*span, heard.text))
            if on_segment:
                on_segment(*span, heard.text)
        measured = (engine.sha256, code) in MEASURED
        if found and not measured:
            notes.append(f"The accuracy of {engine.name} for {code!r} is not measured.")
        return Transcript(
            text=" ".join(text for _, _, text in segments),
            language=code,
            language_probability=probability,
            segments=tuple(segments),
            speech_s=sum(end - start for start, end in found),
            model_version=engine.name,
            model_sha256=engine.sha256,
            measured=measured,
            device=engine.device,
            fallback_reason=engine.fallback_reason,
            notes=tuple(notes),
        )

    def _heard(
        self, engine: Recogniser, samples: Samples, spans: list[Span], code: str, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Span, Heard]]:
        for span, (low, high) in zip(spans, widened(spans, len(samples) / RATE), strict=True):
            piece = samples[int(low * RATE) : int(high * RATE)]
            yield span, engine.hear(piece, code, self._turn_limit_s, cancelled)


def _detected(
    engine: Recogniser, samples: Samples, spans: Sequence[Span], notes: list[str]
) -> tuple[str, float | None]:
    """Return the language of the speech and its probability; "" and None without speech."""
    if not spans:
        return "", None
    speech = np.concatenate([samples[int(start * RATE) : int(end * RATE)] for start, end in spans])
    code, probability = engine.detect(speech)
    if probability < UNCERTAIN:
        notes.append(f"The language is uncertain: {code} has a probability of {probability:.2f}.")
    return code, probability


def load_transcriber(ctx: LoadContext) -> Transcriber:
    """Load the models that the options name (SPEECH_OPTIONS), else those of the extra.

    Base is opened when a job first needs it; its hash is compared now. PocketSphinx is used only where faster-whisper is not
    installed.

    Raises ModelNotFound for a model that is missing, altered or no complete Whisper model, StartupError for an option.
    """
    limit_s = _number(ctx, "SPEECH_TURN_LIMIT_S", 60.0)
    if find_spec("faster_whisper") is None:
        return _fallback(ctx, limit_s)
    from processors.speech.whisper import Whisper

    device = ctx.option("SPEECH_DEVICE", ctx.device)
    if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        raise StartupError(
            f"Speech runs on cpu and cuda, not on {device[:20]!r}.",
            next_step="Set SPEECH_DEVICE to cpu, cuda or cuda:N.",
        )
    threads = int(_number(ctx, "SPEECH_THREADS", 0))
    directory, sha256 = ctx.option("SPEECH_MODEL_DIR"), ctx.option("SPEECH_MODEL_SHA256")
    if directory:
        whisper = Whisper(own(Path(directory), sha256), device, threads)
        return Transcriber(lambda: whisper, lambda: whisper, limit_s)
    if sha256:
        raise StartupError("SPEECH_MODEL_SHA256 is set, but SPEECH_MODEL_DIR is not.", next_step="Set both or neither.")
    english = Whisper(shipped(TINY_EN), device, threads)
    if not installed(BASE):
        return Transcriber(lambda: english, lambda: english, limit_s)
    hash_checked(BASE)
    return Transcriber(lambda: english, lambda: Whisper(shipped(BASE), device, threads), limit_s)


def _fallback(ctx: LoadContext, limit_s: float) -> Transcriber:
    """Return a transcriber that uses PocketSphinx. Raises StartupError if that is not installed either."""
    if ctx.option("SPEECH_MODEL_DIR") or find_spec("pocketsphinx") is None:
        raise StartupError(
            "faster-whisper, which runs Whisper models, is not installed.", next_step="Install sluice[speech]."
        )
    from processors.speech.sphinx import Sphinx

    sphinx = Sphinx()
    return Transcriber(lambda: sphinx, lambda: sphinx, limit_s)


def _number(ctx: LoadContext, name: str, default: float) -> float:
    """Return an option as a number that is not negative. Raises StartupError."""
    text = ctx.option(name)
    try:
        value = float(text or default)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise StartupError(f"{name} is {text[:20]!r}.", next_step=f"Set a number; {default:g} is the default.")
    return value
