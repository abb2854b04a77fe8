"""Scores of turns and speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

#: (start, end, speaker), in seconds.
Spoken = tuple[float, float, object]
Grid = NDArray[np.bool_]

#: Steps a second of the comparison.
STEPS = 100


@dataclass(frozen=True, slots=True)
class DiarisationError:
    """Shares of the time that is spoken, each speaker's counted: `missed`, `false` alarms, and `confused` speakers."""

    missed: float
    false: float
    confused: float

    @property
    def total(self) -> float:
        return self.missed + self.false + self.confused


def diarisation_error(truth: Sequence[Spoken], found: Sequence[Spoken]) -> DiarisationError:
    """Compare speakers over time with the best assignment of names. Overlapping speech counts; no time is forgiven (collar 0).

    NIST's definition (Rich Transcription 2009), on steps of 10 ms.
    """
    steps = round(max(end for _, end, _ in (*truth, *found)) * STEPS) + 1
    true, heard = _grid(truth, steps), _grid(found, steps)
    together = np.array([[int((a & b).sum()) for b in heard] for a in true]).reshape(len(true), len(heard))
    right = np.zeros(steps, int)
    for row, column in zip(*linear_sum_assignment(-together), strict=True):
        right += true[row] & heard[column]
    spoken, said = true.sum(axis=0), heard.sum(axis=0)
    total = float(spoken.sum())
    return DiarisationError(
        missed=float(np.maximum(spoken - said, 0).sum()) / total,
        false=float(np.maximum(said - spoken, 0).sum()) / total,
        confused=float((np.minimum(spoken, said) - right).sum()) / total,
    )


def boundary_errors(
    truth: Sequence[tuple[float, float]], found: Sequence[tuple[float, float]]
) -> tuple[list[float], list[float]]:
    """Return the errors of the starts and of the ends of true turns, in seconds.

    A pause within a recording makes several turns of it: the first one's start and the last one's end count. A turn that was
    not found has an error of its own length.
    """
    starts, ends = [], []
    for start, end in truth:
        parts = [(low, high) for low, high in found if min(high, end) - max(low, start) > 0]
        starts.append(abs(parts[0][0] - start) if parts else end - start)
        ends.append(abs(parts[-1][1] - end) if parts else end - start)
    return starts, ends


def _grid(spoken: Sequence[Spoken], steps: int) -> Grid:
    """Return for each speaker the steps at which they speak."""
    names = list(dict.fromkeys(name for _, _, name in spoken))
    grid = np.zeros((len(names), steps), np.bool_)
    for start, end, name in spoken:
        grid[names.index(name), round(start * STEPS) : round(end * STEPS)] = True
    return grid
