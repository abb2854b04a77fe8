"""Turns and speakers of `video` reach their bounds on films made here, and on a real conversation (the card's tables)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from processors.local import claim_of, loaded, run_one
from processors.video.card import CARD
from processors.video.contract import VideoInput
from processors.video.evaluate import MeasuredDialogue, dialogues, measure, measure_real
from processors.video.films import WIDE, Dialogue, write_film
from processors.video.processor import Video

pytestmark = pytest.mark.accept

DIALOGUES, RIGHT = 10, 9
START_S, END_S = 0.2, 0.3
ERROR_MADE, ERROR_REAL = 0.15, 0.30


@pytest.fixture(scope="module")
def processor() -> Video:
    torch.set_num_threads(1)
    made: Video = loaded(Video)
    return made


@pytest.fixture(scope="module")
def made() -> list[Dialogue]:
    return dialogues(WIDE, DIALOGUES)


@pytest.fixture(scope="module")
def measured(processor: Video, made: list[Dialogue]) -> list[MeasuredDialogue]:
    return measure(processor.voices, made)


def test_turns_begin_and_end_when_they_do(measured: list[MeasuredDialogue]) -> None:
    starts = np.array([error for each in measured for error in each.starts])
    ends = np.array([error for each in measured for error in each.ends])
    print(
        f"{len(starts)} turns: starts p95 {np.quantile(starts, 0.95):.3f} s, ends p95 {np.quantile(ends, 0.95):.3f} s"
    )
    assert len(starts) == 10 * DIALOGUES
    assert np.quantile(starts, 0.95) <= START_S
    assert np.quantile(ends, 0.95) <= END_S


def test_speakers_are_counted_right(measured: list[MeasuredDialogue]) -> None:
    counts = [(each.speakers, each.found) for each in measured]
    print(f"speakers there and found: {counts}")
    assert {there for there, _ in counts} == {1, 2, 3}
    assert sum(there == found for there, found in counts) >= RIGHT


def test_speech_is_given_to_its_speakers(measured: list[MeasuredDialogue]) -> None:
    error = float(np.mean([each.error.total for each in measured]))
    print(f"diarisation error of made dialogues: {error:.3f}")
    assert error <= ERROR_MADE


def test_a_real_conversation_is_divided_between_its_speakers(processor: Video) -> None:
    real = measure_real(processor.voices)
    print(f"diarisation error of the real conversation: {real.error}; speakers found: {real.found}, 2 there")
    assert real.error.total <= ERROR_REAL


def test_a_whole_job_has_these_times_and_speakers(processor: Video, made: list[Dialogue], tmp_path: Path) -> None:
    """Through the processor itself, film to result: segments begin and end where turns do."""
    film = made[1]
    path = write_film(tmp_path / "film.mp4", film.samples)
    found = run_one(processor, VideoInput(video=claim_of(path, "video/mp4"), language="auto"), tmp_path)
    assert found.metadata.unique_speakers == film.speakers
    for segment in found.segments:
        assert min(abs(segment.start - turn.start) for turn in film.turns) <= 0.5
        assert segment.text
    assert found.duration == pytest.approx(len(film.samples) / 16_000, abs=0.3)


def test_the_card_has_these_scores(processor: Video) -> None:
    row = re.search(
        r"^\| a real conversation, 30 s \| (\d) found, 2 there \| \*\*([\d.]+)\*\*", CARD.read_text(), re.MULTILINE
    )
    assert row is not None
    real = measure_real(processor.voices)
    assert int(row[1]) == real.found
    assert float(row[2]) == pytest.approx(real.error.total, abs=0.002)
