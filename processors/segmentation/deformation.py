"""Random deformations of the anatomy, in two families that share no parameter: one to train on, one held out to test.

A deformation turns and scales the brain about its middle and adds an elastic displacement whose spatial wavelengths lie
in the family's band. It also carries the scanner's intensity bias, a field of the same make with much longer waves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from processors.segmentation.anatomy import CENTRE, FloatArray

Range = tuple[float, float]

LATTICE_MM = 6.0
LATTICE_POINTS = 44
BIAS_WAVELENGTH_MM: Range = (120.0, 264.0)
BIAS_AMPLITUDE: Range = (0.03, 0.12)


@dataclass(frozen=True, slots=True)
class Family:
    """`rotation_deg`: size of the turn about each axis, either way. `scale`: per axis, from one of the ranges.
    `wavelength_mm`: the band of the elastic field. `amplitude_mm`: its root mean square per axis."""

    name: str
    rotation_deg: Range
    scale: tuple[Range, ...]
    wavelength_mm: Range
    amplitude_mm: Range


TRAINING = Family("training", (0.0, 10.0), ((0.92, 1.08),), (40.0, 90.0), (0.8, 1.8))
HELD_OUT = Family("held-out", (10.0, 18.0), ((0.85, 0.92), (1.08, 1.15)), (24.0, 36.0), (0.4, 0.9))


@dataclass(frozen=True, slots=True)
class Deformation:
    """`matrix`: the affine part. `lattice`: displacement in mm (3 channels) and log bias (1), (1, 4, n, n, n)."""

    matrix: FloatArray
    lattice: torch.Tensor

    def apply(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the points of the anatomy for world `points` (X, Y, Z, 3), and the factor of the bias there."""
        centred = points - torch.from_numpy(CENTRE)
        half = LATTICE_MM * (LATTICE_POINTS - 1) / 2.0
        unit = (centred / half).flip(-1)[None]
        field = functional.grid_sample(self.lattice, unit, mode="bilinear", padding_mode="border", align_corners=True)[
            0
        ]
        moved = centred @ torch.from_numpy(self.matrix).T + torch.from_numpy(CENTRE) + field[:3].movedim(0, -1)
        return moved, field[3].exp()

    def locate(self, anatomy_points: FloatArray) -> FloatArray:
        """Return the world points (..., 3) of `anatomy_points`, without the elastic part."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        located: FloatArray = ((anatomy_points - CENTRE) @ inverse.T + CENTRE).astype(np.float32)
        return located


def draw_deformation(family: Family, rng: np.random.Generator) -> Deformation:
    """Draw a deformation of the family."""
    fields = [_band_noise(family.wavelength_mm, rng.uniform(*family.amplitude_mm), rng) for _ in range(3)]
    fields.append(_band_noise(BIAS_WAVELENGTH_MM, rng.uniform(*BIAS_AMPLITUDE), rng))
    return Deformation(_draw_affine(family, rng), torch.from_numpy(np.stack(fields))[None])


def _draw_affine(family: Family, rng: np.random.Generator) -> FloatArray:
    matrix = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(*family.rotation_deg)) * rng.choice([-1.0, 1.0])
        matrix = matrix @ rotation(axis, angle)
    scales = [rng.uniform(*family.scale[rng.integers(len(family.scale))]) for _ in range(3)]
    affine: FloatArray = (matrix @ np.diag(1.0 / np.array(scales))).astype(np.float32)
    return affine


def rotation(axis: int, angle: float) -> FloatArray:
    """The turn by `angle` radians about one axis."""
    one, two = [other for other in range(3) if other != axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[one, one] = matrix[two, two] = np.cos(angle)
    matrix[one, two], matrix[two, one] = -np.sin(angle), np.sin(angle)
    return matrix


def _band_noise(wavelength_mm: Range, amplitude: float, rng: np.random.Generator) -> FloatArray:
    """White noise with all but the band's wavelengths removed, scaled to a root mean square of `amplitude`."""
    white = rng.standard_normal((LATTICE_POINTS,) * 3).astype(np.float32)
    axis = np.fft.fftfreq(LATTICE_POINTS, LATTICE_MM)
    half = np.fft.rfftfreq(LATTICE_POINTS, LATTICE_MM)
    frequency = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half[None, None, :] ** 2)
    short, long = wavelength_mm
    keep = (frequency >= 1.0 / long - 1e-9) & (frequency <= 1.0 / short + 1e-9)
    band = np.fft.irfftn(np.fft.rfftn(white) * keep, s=white.shape, axes=(0, 1, 2))
    scaled: FloatArray = (band * (amplitude / band.std())).astype(np.float32)
    return scaled
