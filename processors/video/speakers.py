"""Tells speakers apart: who speaks in each stretch of speech, and so the segments of the result.

Each turn of speech is covered by windows of up to 1.6 s. Their embeddings (voices.py) are joined bottom-up by average cosine
distance. Two clusters of one voice differ more the shorter they are, so the limit is `FAR + SHORT / windows`: a limit that
joins two halves of one voice also joins two similar voices, and a fixed one that separates these splits a voice by its
sentences (0 of 18 dialogues right at 0.26, 18 of 18 with the term; `evaluate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from processors.video.voices import RATE, STRETCH, FloatArray, Voices

Labels = NDArray[np.intp]

#: Seconds of a window, and between the beginnings of two.
WINDOW_S = STRETCH / RATE
STEP_S = 0.4
#: Cosine distance between large clusters up to which they are one voice.
FAR = 0.28
#: What the limit is larger for a cluster of one window.
SHORT = 0.6
#: Windows that are clustered. Of a film with more, an even choice is; the others get the nearest voice.
MOST = 1200
#: A change of speaker for less than this is not believed.
BRIEF_S = 0.6
#: Segments of one speaker with less between them are one, up to the second limit (Whisper hears 30 s at a time).
PAUSE_S, LONGEST_S = 0.5, 28.0
#: Seconds of silence that end a turn. Shorter than in `speech`: between two speakers there is often no more.
PAUSE_IN_TURN_S = 0.15

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one speaker: seconds from the beginning, and the speaker's number in order of appearance."""

    start: float
    end: float
    speaker: int


def tell_apart(
    voices: Voices, samples: FloatArray, turns: Sequence[Span], stop: Callable[[], None] = lambda: None
) -> list[Segment]:
    """Return who speaks when in the turns of speech. `samples`: mono, 16 kHz. `stop`: called between steps; may raise."""
    spans = windows(turns)
    embeddings = voices.embed([_piece(samples, span) for span in spans], stop)
    return segments(turns, spans, cluster(embeddings))


def windows(turns: Sequence[Span]) -> list[Span]:
    """Return windows that cover the turns; a turn shorter than a window is one."""
    found: list[Span] = []
    for start, end in turns:
        spare = end - start - WINDOW_S
        if spare <= 0:
            found.append((start, end))
            continue
        steps = int(np.ceil(spare / STEP_S))
        found.extend((start + spare * i / steps, start + spare * i / steps + WINDOW_S) for i in range(steps + 1))
    return found


def _piece(samples: FloatArray, span: Span) -> FloatArray:
    first = int(span[0] * RATE)
    return samples[first : min(int(span[1] * RATE), first + STRETCH)]


def cluster(embeddings: FloatArray) -> Labels:
    """Return the voice of each window, as numbers from 0. `embeddings`: (windows, 256), each of length 1."""
    if len(embeddings) == 0:
        return np.zeros(0, np.intp)
    stride = -(-len(embeddings) // MOST)
    chosen = embeddings[::stride]
    labels = _agglomerate(chosen, stride)
    if stride == 1:
        return labels
    centres = np.stack([chosen[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return np.asarray(np.argmax(embeddings @ centres.T, axis=1))


def _agglomerate(points: FloatArray, weight: float) -> Labels:
    """Join clusters by average distance, the nearest within its limit first. `weight`: windows that a point stands for."""
    count = len(points)
    distances = 1.0 - points @ points.T
    np.fill_diagonal(distances, np.inf)
    sizes = np.full(count, weight, dtype=np.float32)
    excess = distances - SHORT / np.minimum(sizes[:, None], sizes)
    labels = np.arange(count)
    for _ in range(count - 1):
        first, second = divmod(int(np.argmin(excess)), count)
        if excess[first, second] >= FAR:
            break
        total = sizes[first] + sizes[second]
        merged = (distances[first] * sizes[first] + distances[second] * sizes[second]) / total
        merged[[first, second]] = np.inf
        distances[first] = distances[:, first] = merged
        sizes[first] = total
        excess[first] = excess[:, first] = merged - SHORT / np.minimum(total, sizes)
        for gone in (distances, excess):
            gone[second] = gone[:, second] = np.inf
        labels[labels == second] = first
    return np.unique(labels, return_inverse=True)[1]


def segments(turns: Sequence[Span], spans: Sequence[Span], labels: Labels) -> list[Segment]:
    """Return segments of one speaker each, in order. `spans`, `labels`: the windows of the turns and their voices."""
    middles = np.array([(start + end) / 2 for start, end in spans])
    numbers: dict[int, int] = {}
    found: list[Segment] = []
    position = 0
    for start, end in turns:
        inside = position + int(np.searchsorted(middles[position:], end))
        for low, high, label in _runs(start, end, middles[position:inside], labels[position:inside]):
            speaker = numbers.setdefault(label, len(numbers))
            last = found[-1] if found else None
            if last and last.speaker == speaker and low - last.end < PAUSE_S and high - last.start <= LONGEST_S:
                found[-1] = Segment(last.start, high, speaker)
            else:
                found.append(Segment(low, high, speaker))
        position = inside
    return found


def _runs(start: float, end: float, middles: NDArray[np.float64], labels: Labels) -> list[tuple[float, float, int]]:
    """Cut a turn between the middles of windows of different voices; a brief run goes to the longer of its neighbours."""
    cuts = [start, *((low + high) / 2 for low, high in pairwise(middles)), end]
    runs = _joined([(low, high, int(label)) for (low, high), label in zip(pairwise(cuts), labels, strict=True)])
    while len(runs) > 1 and min(high - low for low, high, _ in runs) < BRIEF_S:
        at = min(range(len(runs)), key=lambda i: runs[i][1] - runs[i][0])
        near = [i for i in (at - 1, at + 1) if 0 <= i < len(runs)]
        longer = max(near, key=lambda i: runs[i][1] - runs[i][0])
        runs[at] = (*runs[at][:2], runs[longer][2])
        runs = _joined(runs)
    return runs


def _joined(runs: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Join neighbours of one voice."""
    joined: list[tuple[float, float, int]] = []
    for low, high, label in runs:
        if joined and joined[-1][2] == label:
            joined[-1] = (joined[-1][0], high, label)
        else:
            joined.append((low, high, label))
    return joined
