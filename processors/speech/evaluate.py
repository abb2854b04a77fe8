"""Measure the recognisers and write the model card: `python -m processors.speech.evaluate` (needs the group `accept`).

Each recording goes through the processor, from its file to the text. Word error rates: both sides pass the same normaliser,
transformers' EnglishTextNormalizer (Whisper's own), after the dots that stand for a pause in a transcript are removed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import structlog

from processors.local import LocalLoadContext, claim_of, run_one
from processors.speech.card import CARD, ErrorRate, card
from processors.speech.contract import SpeechInput, SpeechOutput
from processors.speech.corpora import Utterance, asterisk, librivox
from processors.speech.models import BASE, shipped
from processors.speech.processor import Speech
from processors.speech.sphinx import Sphinx
from processors.speech.transcriber import Transcriber
from processors.speech.whisper import Whisper

log = structlog.get_logger()

SAMPLES, SEED = 2000, 20_261_129
CORPORA: dict[str, Callable[[], list[Utterance]]] = {"Asterisk": asterisk, "LibriVox": librivox}


@dataclass(frozen=True, slots=True)
class Recognition:
    """`errors` and `words`: of each utterance, in order."""

    errors: list[int]
    words: list[int]
    cpu_s: float
    audio_s: float
    languages: list[str]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = [
        measured(engine, corpus, recognised(processor, language, CORPORA[corpus]()))
        for engine, (processor, language) in engines().items()
        for corpus in CORPORA
    ]
    CARD.write_text(card(rows), encoding="utf-8")


def engines() -> dict[str, tuple[Speech, str]]:
    """Return each engine's processor and the language that its jobs ask for. Base also detects the language."""
    base = Whisper(shipped(BASE), "cpu", 1)
    sphinx = Sphinx()
    return {
        "whisper-tiny.en": (processor_of(), "en"),
        "whisper-base, language detected": (processor_of(Transcriber(lambda: base, lambda: base)), "auto"),
        "pocketsphinx-en-us": (processor_of(Transcriber(lambda: sphinx, lambda: sphinx)), "en"),
    }


def processor_of(transcriber: Transcriber | None = None) -> Speech:
    """Return a processor with this transcriber; None: its own, on one CPU thread."""
    made = Speech()
    if transcriber is None:
        made.load(LocalLoadContext(Speech, options={"SPEECH_THREADS": "1"}))
    else:
        made.serve(transcriber)
    return made


def recognised(processor: Speech, language: str, utterances: Sequence[Utterance]) -> Recognition:
    """Transcribe each utterance in a job of its own. CPU time is the process's, from the file to the text."""
    texts, languages, audio_s = [], [], 0.0
    with tempfile.TemporaryDirectory() as name:
        started = time.process_time()
        for utterance in utterances:
            job = SpeechInput(claim_of(utterance.path), language)
            output: SpeechOutput = run_one(processor, job, Path(name))
            texts.append(output.text)
            languages.append(output.language)
            audio_s += output.duration_s
        cpu_s = time.process_time() - started
    counted = [word_errors(said.text, heard) for said, heard in zip(utterances, texts, strict=True)]
    return Recognition([e for e, _ in counted], [w for _, w in counted], cpu_s, audio_s, languages)


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Return the word errors (substitutions, deletions, insertions), and the words that were said."""
    reference, hypothesis = normalised(said), normalised(heard)
    if not hypothesis:
        return len(reference.split()), len(reference.split())
    found = jiwer.process_words(reference, hypothesis)
    return found.substitutions + found.deletions + found.insertions, len(reference.split())


def normalised(text: str) -> str:
    """Return a text in the form that is compared."""
    return str(_normaliser()(text.replace("...", " "))).strip()


@cache
def _normaliser() -> Callable[[str], str]:
    from transformers.models.whisper import english_normalizer

    made: Any = english_normalizer.EnglishTextNormalizer
    found: Callable[[str], str] = made({})
    return found


def measured(engine: str, corpus: str, found: Recognition) -> ErrorRate:
    """Return a row of the card. The interval is 95 %, by bootstrap over utterances."""
    errors, words = np.array(found.errors), np.array(found.words)
    picks = np.random.default_rng(SEED).integers(0, len(errors), (SAMPLES, len(errors)))
    rates = errors[picks].sum(1) / words[picks].sum(1)
    low, high = np.quantile(rates, (0.025, 0.975))
    row = ErrorRate(
        engine=engine,
        corpus=corpus,
        utterances=len(errors),
        words=int(words.sum()),
        audio_s=found.audio_s,
        error_rate=float(errors.sum() / words.sum()),
        interval=(float(low), float(high)),
        cpu_per_s=found.cpu_s / found.audio_s,
        english=sum(language == "en" for language in found.languages),
    )
    log.info("measured", engine=engine, corpus=corpus, error_rate=row.error_rate, cpu_per_s=row.cpu_per_s)
    return row


if __name__ == "__main__":
    main()
