"""The contract of `speech`: an audio file in, its text out. Submitters import it, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class SpeechInput:
    """`audio`: a claim check on a file with an audio track (WAV, MP3, FLAC, Ogg, WebM, MP4). `language`: a code such as en or
    ko; auto: the language that the model detects."""

    audio: Claim
    language: str = "auto"


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """A turn of speech. Times in seconds from the start of the audio."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class SpeechOutput:
    """The text of the audio; empty if there is no speech.

    Attributes:
        text: The texts of the segments, joined by spaces.
        language: The language that was transcribed, as asked for or detected; empty if it was to be detected and there is no
            speech.
        language_probability: Probability of the detected language, 0..1. None: the job named the language.
        segments: One for each turn of speech, in order.
        duration_s: Length of the audio in seconds.
        speech_s: Seconds of it with speech.
        model: Name of the model, such as whisper-tiny.en.
        model_sha256: sha256 of its weights.
        measured: True if the model card has an error rate for this model and language.
        device: cpu or cuda:N, where the model ran.
        fallback_reason: Why another device or engine was used than the one asked for; None: it was not.
        notes: Sentences for the reader of the result, such as turns that were left out.
    """

    text: str
    language: str
    language_probability: float | None
    segments: list[SpeechSegment]
    duration_s: float
    speech_s: float
    model: str
    model_sha256: str
    measured: bool
    device: str
    fallback_reason: str | None
    notes: list[str]


SPEECH: ProcessorContract[SpeechInput, SpeechOutput] = ProcessorContract(
    "speech", SpeechInput, SpeechOutput, Path(__file__).parent / "avro"
)
