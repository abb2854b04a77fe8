"""The processor, from a file to its text, and the bounds of a turn. One model is loaded for all tests of this module."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from processors.local import LocalLoadContext, claim_of, run_one
from processors.protocol import Processor
from processors.speech.audio import RATE, Samples, decode
from processors.speech.contract import SPEECH, SpeechInput, SpeechOutput
from processors.speech.models import TINY_EN
from processors.speech.processor import Speech
from processors.speech.recogniser import Heard
from processors.speech.transcriber import Transcriber
from processors.speech.whisper import STEP, Whisper
from schemas.errors import InvalidInput, JobCancelled
from streams.testing import Flow
from tests.unit.processors.speech.recordings import CLIP, write_wav

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


@pytest.fixture(scope="module")
def tiny(processor: Speech) -> Whisper:
    engine, _ = processor._transcriber.engine("en")
    assert isinstance(engine, Whisper)
    return engine


def test_speech_becomes_text_and_a_broken_cuda_is_named(processor: Speech, tmp_path: Path) -> None:
    output = transcribe(processor, CLIP, tmp_path, language="en")
    assert output.text == TEXT
    (segment,) = output.segments
    assert segment.text == TEXT
    assert 0.0 <= segment.start_s < 0.5
    assert 2.5 < segment.end_s <= output.duration_s
    assert (output.model, output.measured, output.notes) == ("whisper-tiny.en", True, [])
    assert output.device == "cpu"
    assert output.fallback_reason is not None
    assert output.fallback_reason.startswith("Running on the CPU, because cuda:99 does not work here: CUDA")


def test_a_job_completes_and_streams_its_text(processor: Speech) -> None:
    with Flow(processor, contract=SPEECH) as flow:
        job_id = flow.submit("speech", SpeechInput(flow.upload(CLIP), "en-GB"))
        flow.settle()
        view = flow.job(job_id)
        assert (view.state, view.error) == ("COMPLETED", None)
        output: Any = view.output
        assert (output["text"], output["language"], output["segments"][0]["text"]) == (TEXT, "en", TEXT)
        assert flow.text(job_id).strip() == TEXT


def test_silence_gives_an_empty_text(processor: Speech, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "silence.wav", np.zeros(2 * RATE, np.float32))
    output = transcribe(processor, path, tmp_path, language="en")
    assert (output.text, output.segments, output.speech_s, output.duration_s) == ("", [], 0.0, 2.0)


@pytest.mark.parametrize(
    ("language", "said"), [("ko", "lacks the language 'ko'"), ("auto", "can't detect the language")]
)
def test_a_language_that_the_model_lacks_is_never_transcribed_as_english(
    tiny: Whisper, language: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        Transcriber(lambda: tiny, lambda: tiny).engine(language)


def test_a_turn_ends_at_its_time_limit(tiny: Whisper) -> None:
    heard = tiny.hear(decode(CLIP, 10.0), "en", 0.0, lambda: False)
    assert heard == Heard("", "the time limit of a turn has passed")


def test_a_cancelled_job_stops_within_a_turn(tiny: Whisper) -> None:
    with pytest.raises(JobCancelled):
        tiny.hear(decode(CLIP, 10.0), "en", 60.0, lambda: True)


class Babble:
    """Stands for CTranslate2's model, and says the same word for ever."""

    is_multilingual = False

    def __init__(self) -> None:
        self.most = 0

    def generate(self, encoded: Any, prompts: list[list[int]], *, max_length: int, **options: Any) -> list[Any]:
        self.most = max(self.most, max_length // 2)
        return [SimpleNamespace(sequences_ids=[[351] * (max_length // 2)], scores=[-0.1], no_speech_prob=0.0)]


def test_a_loop_of_text_is_left_out_after_few_tokens(tiny: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    babble = Babble()
    monkeypatch.setattr(tiny._model, "model", babble)
    monkeypatch.setattr(tiny, "_encoded", lambda samples: None)
    assert tiny.hear(np.zeros(28 * RATE, np.float32), "en", 60.0, lambda: False).text == ""
    assert 0 < babble.most <= 2 * STEP


def test_whisper_is_heard_again_in_parts_if_it_ends_too_early(tiny: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny ends at a long pause, and the rest of the turn would be lost."""
    lengths = []

    def once(tokenizer: Any, samples: Samples, end: float, cancelled: Any) -> tuple[Heard, int]:
        lengths.append(len(samples) / RATE)
        return (Heard("a"), 1) if len(samples) > 7 * RATE else (Heard("a whole part"), 20)

    monkeypatch.setattr(tiny, "_once", once)
    assert tiny.hear(np.zeros(8 * RATE, np.float32), "en", 60.0, lambda: False).text == "a whole part a whole part"
    assert len(lengths) == 3
    assert sum(lengths[1:]) == lengths[0]
