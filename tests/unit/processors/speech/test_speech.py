"""The processor, from a file to its text: one model is loaded for all tests of this module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from processors.local import LocalLoadContext, claim_of, run_one
from processors.protocol import Processor
from processors.speech.contract import SpeechInput, SpeechOutput
from processors.speech.models import TINY_EN
from processors.speech.processor import Speech
from tests.harness.source_tree import ROOT

CLIP = ROOT / "tests" / "data" / "speech" / "amiable.flac"
TEXT = "He might even have been made amiable himself."


@pytest.fixture(scope="module")
def processor() -> Speech:
    """Loaded for a CUDA device that no machine has, so that the driver's own error is seen."""
    made = Speech()
    made.load(LocalLoadContext(Speech, options={"SPEECH_DEVICE": "cuda:99", "SPEECH_THREADS": "1"}))
    return made


def transcribe(processor: Speech, path: Path, folder: Path, **options: Any) -> SpeechOutput:
    output = run_one(processor, SpeechInput(claim_of(path), **options), folder)
    assert isinstance(output, SpeechOutput)
    return output


def test_it_is_a_processor_that_knows_its_weights(processor: Speech) -> None:
    assert isinstance(processor, Processor)
    assert processor.model_sha256 == TINY_EN.sha256


def test_speech_becomes_text_with_the_times_of_its_turn(processor: Speech, tmp_path: Path) -> None:
    output = transcribe(processor, CLIP, tmp_path, language="en")
    assert output.text == TEXT
    (segment,) = output.segments
    assert segment.text == TEXT
    assert 0.0 <= segment.start_s < 0.5
    assert 2.5 < segment.end_s <= output.duration_s
    assert (output.model, output.measured, output.notes) == ("whisper-tiny.en", True, [])


def test_a_cuda_device_that_does_not_work_is_named_and_the_cpu_is_used(processor: Speech, tmp_path: Path) -> None:
    output = transcribe(processor, CLIP, tmp_path, language="en")
    assert output.device == "cpu"
    assert output.fallback_reason is not None
    assert output.fallback_reason.startswith("Running on the CPU, because cuda:99 does not work here: CUDA")
