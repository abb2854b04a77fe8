"""Each voice becomes a speaker of its own, and a segment belongs to one speaker."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from processors.video import speakers
from processors.video.speakers import Segment, cluster, segments, windows
from processors.video.voices import RATE, STRETCH, WEIGHTS_NAME, WEIGHTS_SHA256, FloatArray, Voices, mel_filters
from processors.weights import find_weights


def voices_of(counts: dict[int, int], spread: float = 0.35, seed: int = 0) -> FloatArray:
    """Return embeddings of made-up voices: `counts` windows of each, around a direction of its own."""
    chance = np.random.default_rng(seed)
    centres = np.abs(chance.normal(size=(len(counts), 256)))
    rows = [centres[voice] + spread * chance.normal(size=256) for voice, count in counts.items() for _ in range(count)]
    made = np.maximum(np.array(rows), 0.0)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def test_windows_cover_a_turn_and_a_short_turn_is_one_window() -> None:
    assert windows([(1.0, 1.5)]) == [(1.0, 1.5)]
    found = windows([(2.0, 5.0)])
    assert found[0][0] == 2.0
    assert found[-1][1] == pytest.approx(5.0)
    assert all(after[0] - before[0] <= speakers.STEP_S + 1e-9 for before, after in pairwise(found))


@pytest.mark.parametrize("counts", [{0: 1}, {0: 40}, {0: 30, 1: 12}, {0: 20, 1: 9, 2: 14}])
def test_each_voice_is_one_cluster(counts: dict[int, int]) -> None:
    labels = cluster(voices_of(counts))
    truth = [voice for voice, count in counts.items() for _ in range(count)]
    assert len(set(zip(truth, labels.tolist(), strict=True))) == len(counts) == len(set(labels.tolist()))


def test_without_speech_there_is_no_voice() -> None:
    assert cluster(np.zeros((0, 256), np.float32)).tolist() == []
    assert segments([], [], np.zeros(0, np.intp)) == []


def test_a_long_film_clusters_an_even_choice_of_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speakers, "MOST", 20)
    labels = cluster(voices_of({0: 60, 1: 45})).tolist()
    assert len(set(labels[:60])) == len(set(labels[60:])) == 1
    assert labels[0] != labels[-1]


def test_a_turn_is_cut_where_the_voice_changes_and_speakers_are_numbered_as_they_appear() -> None:
    turns = [(1.0, 5.0), (8.0, 9.0)]
    spans = windows(turns)
    labels = np.array([7 if (low + high) / 2 < 3.0 else 3 for low, high in spans], np.intp)
    first, second, third = segments(turns, spans, labels)
    assert (first.start, first.speaker) == (1.0, 0)
    assert first.end == second.start == pytest.approx(3.0, abs=speakers.STEP_S)
    assert second == Segment(second.start, 5.0, 1)
    assert third == Segment(8.0, 9.0, 1)


def test_a_brief_change_is_not_believed() -> None:
    spans = windows([(0.0, 6.0)])
    labels = np.zeros(len(spans), np.intp)
    labels[5] = 1
    assert segments([(0.0, 6.0)], spans, labels) == [Segment(0.0, 6.0, 0)]


def test_turns_of_one_speaker_with_a_short_pause_are_one_segment_up_to_whispers_window() -> None:
    turns = [(0.0, 1.0), (1.3, 2.0), (2.3, 29.0), (30.0, 31.0)]
    spans = windows(turns)
    found = segments(turns, spans, np.zeros(len(spans), np.intp))
    assert found == [Segment(0.0, 2.0, 0), Segment(2.3, 29.0, 0), Segment(30.0, 31.0, 0)]


# ── the voice encoder ──


def test_mel_filters_are_librosas() -> None:
    """Figures of `librosa.filters.mel(sr=16000, n_fft=400, n_mels=40)`, librosa 0.11."""
    filters = mel_filters()
    assert filters.shape == (40, 201)
    assert filters.sum(axis=1)[[0, 10, 39]] == pytest.approx([0.02480904, 0.02480904, 0.02497876], abs=1e-7)
    assert float(filters.max()) == pytest.approx(0.013329955, abs=1e-8)


def test_embeddings_have_length_1_whatever_the_loudness_below_the_trainings() -> None:
    voices = Voices(
        find_weights(WEIGHTS_NAME, WEIGHTS_SHA256, beside=Path(speakers.__file__).parent / "weights"), "cpu"
    )
    sound = (0.01 * np.sin(np.arange(STRETCH) * 2 * np.pi * 150 / RATE) ** 5).astype(np.float32)
    loud, soft, short = voices.embed([sound, 0.3 * sound, sound[:4000]])
    assert np.linalg.norm(loud) == pytest.approx(1.0, abs=1e-5)
    assert soft == pytest.approx(loud, abs=1e-3)
    assert short.shape == (256,)
    assert voices.embed([]).shape == (0, 256)
