"""The shipped models reach their bounds on recordings of people, and base hears Korean as Korean (the card's table)."""

from __future__ import annotations

import re

import numpy as np
import pytest

from processors.speech.card import CARD
from processors.speech.corpora import asterisk, librivox
from processors.speech.evaluate import Recognition, measured, processor_of, recognised
from processors.speech.models import BASE, shipped
from processors.speech.processor import Speech
from processors.speech.transcriber import Transcriber
from processors.speech.whisper import Whisper

pytestmark = pytest.mark.accept

ASTERISK_ERRORS, LIBRIVOX_ERRORS, CPU_PER_S = 0.08, 0.10, 0.25


@pytest.fixture(scope="module")
def tiny() -> Speech:
    return processor_of()


@pytest.fixture(scope="module")
def prompts(tiny: Speech) -> Recognition:
    return recognised(tiny, "en", asterisk())


@pytest.fixture(scope="module")
def base() -> Whisper:
    return Whisper(shipped(BASE), "cpu", 1)


def test_the_corpora_are_whole() -> None:
    assert len(asterisk()) == 159
    assert len(librivox()) == 5


def test_tiny_reaches_the_bounds_on_the_prompts(prompts: Recognition) -> None:
    row = measured("whisper-tiny.en", "Asterisk", prompts)
    print(row)
    assert row.error_rate <= ASTERISK_ERRORS
    assert row.cpu_per_s <= CPU_PER_S


def test_tiny_reaches_the_bounds_on_librivox(tiny: Speech) -> None:
    row = measured("whisper-tiny.en", "LibriVox", recognised(tiny, "en", librivox()))
    print(row)
    assert row.error_rate <= LIBRIVOX_ERRORS
    assert row.cpu_per_s <= CPU_PER_S


def test_base_detects_english_and_reaches_the_bounds(base: Whisper) -> None:
    processor = processor_of(Transcriber(lambda: base, lambda: base))
    row = measured("whisper-base", "LibriVox", recognised(processor, "auto", librivox()))
    print(row)
    assert row.english == 5
    assert row.error_rate <= LIBRIVOX_ERRORS
    assert row.cpu_per_s <= CPU_PER_S


def test_base_knows_korean_and_its_text_is_marked_unmeasured(base: Whisper) -> None:
    """English speech forced to Korean is no test of accuracy, but shows that the language reaches the model."""
    assert {"ko", "en", "ja"} <= base.languages
    noise = np.random.default_rng(1).normal(0, 0.1, 3 * 16_000).astype(np.float32)
    transcript = Transcriber(lambda: base, lambda: base).transcribe(noise, "ko", spans=[(0.0, 3.0)])
    assert (transcript.language, transcript.model_version, transcript.measured) == ("ko", "whisper-base", False)
    assert any("not measured" in note for note in transcript.notes)


def test_the_card_has_these_scores(prompts: Recognition) -> None:
    row = measured("whisper-tiny.en", "Asterisk", prompts)
    found = re.search(r"^\| whisper-tiny.en \| Asterisk \|.*?\*\*([\d.]+)\*\*", CARD.read_text(), re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(row.error_rate, abs=0.005)
