"""A Whisper model on CTranslate2, which hears one turn of speech at a time, within bounds.

On speech that it does not understand Whisper repeats itself until its window is full, and takes longer than the audio lasts. So
text is generated in short steps, greedily; between them its length, its repetition, the time and the job's cancellation are
checked. Greedy steps give the same tokens as one long call.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from processors.speech.audio import RATE, Samples
from processors.speech.models import ModelFiles
from processors.speech.recogniser import Heard
from schemas.errors import JobCancelled, ModelNotFound

#: Whisper's window, in frames of 10 ms and in samples.
WINDOW_FRAMES, WINDOW_SAMPLES = 3000, 30 * RATE
#: Frames of silence after a turn. Whisper was trained on windows of 30 s, and without enough silence after the speech it says
#: the same again. 10 s give the error rate of the whole window on the card's recordings in a third of its CPU time; 5 s do not.
SILENT_FRAMES = 1000
#: Tokens of one step.
STEP = 48
#: Most tokens of a turn: a few, and as many a second as the fastest speech in a script of several tokens a syllable.
LEAST_TOKENS, TOKENS_A_SECOND, MOST_TOKENS = 32, 25, 220
#: Text that zlib shrinks by more than this repeats itself (Whisper's own threshold).
MOST_REPETITION = 2.4
#: A turn that repeats itself is heard once more, with no sequence of so many tokens twice.
NO_REPEAT = 3
#: A turn with fewer tokens a second (speech has about 3) is heard again in two parts, if they are no shorter than this.
LEAST_TOKENS_A_SECOND, SHORTEST_PART_S = 2.0, 2.0
#: No speech, by Whisper's own thresholds: above the first, with a mean log probability of the tokens below the second.
SILENCE, LEAST_LOG_PROBABILITY = 0.6, -1.0
CPU_TYPE = "int8"

T = TypeVar("T")


class Whisper:
    """A `Recogniser`; see there."""

    languages: frozenset[str]

    def __init__(self, files: ModelFiles, device: str, threads: int = 0) -> None:
        """Load the model. If `device` is a CUDA device that fails, load it on the CPU.

        CTranslate2's own device="auto" is not used: it hides a driver that is too old.

        Raises ModelNotFound for files that are no complete Whisper model.
        """
        self.name, self.sha256 = files.name, files.sha256
        self._files, self._threads = files, threads
        self.device = device
        self.fallback_reason: str | None = None
        if device != "cpu":
            try:
                self._load(device)
            except (RuntimeError, ValueError) as error:
                self._use_cpu(error)
        else:
            self._load_on_cpu()

    def detect(self, samples: Samples) -> tuple[str, float]:
        token, probability = self._on_device(lambda: self._model.model.detect_language(self._encoded(samples))[0][0])
        return token.strip("<|>"), probability

    def hear(self, samples: Samples, language: str, limit_s: float, cancelled: Callable[[], bool]) -> Heard:
        return self._on_device(lambda: self._hear(samples, language, time.monotonic() + limit_s, cancelled))

    def _hear(self, samples: Samples, language: str, end: float, cancelled: Callable[[], bool]) -> Heard:
        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
        )
        heard, tokens = self._once(tokenizer, samples, end, cancelled)
        seconds = len(samples) / RATE
        if heard.cut or seconds < 2 * SHORTEST_PART_S or tokens >= LEAST_TOKENS_A_SECOND * seconds:
            return heard
        # Whisper sometimes ends at a pause within the turn. Parts of a turn that is only slow give no more text than the whole.
        middle = _quietest(samples)
        parts = [self._hear(part, language, end, cancelled) for part in (samples[:middle], samples[middle:])]
        text = " ".join(part.text for part in parts if part.text)
        return Heard(text) if len(text) > len(heard.text) and not any(part.cut for part in parts) else heard

    def _once(self, tokenizer: Any, samples: Samples, end: float, cancelled: Callable[[], bool]) -> tuple[Heard, int]:
        """Return the text of a window and its number of tokens. One that repeats itself is heard again, then left out."""
        encoded = self._encoded(samples)
        most = min(MOST_TOKENS, LEAST_TOKENS + int(TOKENS_A_SECOND * len(samples) / RATE))
        heard, tokens = self._generated(tokenizer, encoded, most, 0, end, cancelled)
        if _repetition(heard.text) > MOST_REPETITION:
            heard, tokens = self._generated(tokenizer, encoded, most, NO_REPEAT, end, cancelled)
            if heard.cut or _repetition(heard.text) > MOST_REPETITION:
                return Heard("", "it is unintelligible"), 0
        return heard, tokens

    def _generated(
        self, tokenizer: Any, encoded: Any, most: int, no_repeat: int, end: float, cancelled: Callable[[], bool]
    ) -> tuple[Heard, int]:
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        suppressed = get_suppressed_tokens(tokenizer, [-1])
        tokens: list[int] = []
        log_probability = 0.0
        while True:
            if cancelled():
                raise JobCancelled("The job was stopped between two steps of its transcription.")
            if time.monotonic() > end:
                return Heard(tokenizer.decode(tokens).strip(), "the time limit of a turn has passed"), len(tokens)
            wanted = min(most, len(tokens) + STEP)
            (result,) = self._model.model.generate(
                encoded,
                [prompt + tokens],
                beam_size=1,
                max_length=2 * wanted,  # CTranslate2 returns at most half of this, the tokens so far included
                no_repeat_ngram_size=no_repeat,
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=not tokens,
                suppress_tokens=suppressed,
            )
            tokens = result.sequences_ids[0]
            log_probability += result.scores[0] * len(tokens)  # the score is that of the new ones
            text = tokenizer.decode(tokens).strip()
            if len(tokens) < wanted:
                mean = log_probability / (len(tokens) + 1)
                silent = result.no_speech_prob > SILENCE and mean < LEAST_LOG_PROBABILITY
                worded = any(character.isalnum() for character in text)
                return Heard(text if worded and not silent else ""), len(tokens)
            if len(tokens) >= most or _repetition(text) > MOST_REPETITION:
                return Heard(text, f"its text is longer than {most} tokens"), len(tokens)

    def _encoded(self, samples: Samples) -> Any:
        """Return the encoder's output for the first 30 s. Its time grows with the window, so a short turn gets a short one."""
        features = self._model.feature_extractor(samples[:WINDOW_SAMPLES])
        frames = min(WINDOW_FRAMES, features.shape[-1] + SILENT_FRAMES)
        return self._model.encode(pad_or_trim(features[..., :frames], frames + frames % 2))

    def _on_device(self, work: Callable[[], T]) -> T:
        """Do the work; if a CUDA device fails under it, once more on the CPU, where the model stays."""
        try:
            return work()
        except (RuntimeError, ValueError) as error:
            if self.device == "cpu":
                raise
            self._use_cpu(error)
            return work()

    def _use_cpu(self, error: Exception) -> None:
        self.fallback_reason = f"Running on the CPU, because {self.device} does not work here: {_first_line(error)}"
        self.device = "cpu"
        self._load_on_cpu()

    def _load_on_cpu(self) -> None:
        try:
            self._load("cpu")
        except (RuntimeError, ValueError) as error:
            raise ModelNotFound(
                f"{self.name} can't be loaded as a Whisper model: {_first_line(error).rstrip('.')}.",
                next_step="Is model.bin cut? Restore its files, or convert it again with ct2-transformers-converter.",
            ) from error

    def _load(self, device: str) -> None:
        """Load the model and run its encoder and decoder once: a GPU without its libraries shows only then."""
        kind, _, index = device.partition(":")
        self._model = WhisperModel(
            str(self._files.directory or self.name),
            device=kind,
            device_index=int(index or 0),
            compute_type=CPU_TYPE if kind == "cpu" else "auto",
            cpu_threads=self._threads,
            files=dict(self._files.files) if self._files.files is not None else None,
            local_files_only=True,
        )
        known = self._model.hf_tokenizer.token_to_id
        self.languages = frozenset(code for code in self._model.supported_languages if known(f"<|{code}|>") is not None)
        if not self._model.model.is_multilingual:
            self.languages = frozenset({"en"})
        self._hear(np.zeros(RATE // 10, np.float32), min(self.languages), time.monotonic() + 3600.0, lambda: False)


def _quietest(samples: Samples) -> int:
    """Return the middle of the quietest tenth of a second in the middle third."""
    size = RATE // 10
    third = len(samples) // 3
    blocks = samples[third : third + third // size * size].reshape(-1, size)
    return third + int(np.square(blocks).sum(1).argmin()) * size + size // 2


def _repetition(text: str) -> float:
    """Return by how much zlib shrinks the text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
