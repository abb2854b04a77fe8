"""The model's view of a volume: axes turned to R-A-S, one millimetre a voxel, the brain's box only, z-scored intensities.

`to_model` goes there; `ModelView.back` brings a probability map to the volume's own geometry again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from processors.segmentation.volume import Affine, FloatArray, Volume
from schemas.errors import InvalidInput, PayloadTooLarge

Shape = tuple[int, int, int]

SPACING_MM = 1.0
#: Spacings this near to the model's are taken as they are: interpolation would blur more than it mends.
SPACING_TOLERANCE = 0.15
#: The network halves a volume three times.
MULTIPLE = 8
#: Voxels of background kept round the brain.
MARGIN = 4
#: About 270 mm cubed. A brain takes a quarter of it; a whole head with its neck just fits.
MAX_BOX_VOXELS = 20_000_000
MIN_BRAIN_VOXELS = 5_000
CLIP = 6.0
#: Share of the brightest intensity above which a voxel counts as brain.
FOREGROUND = 0.04

# nibabel's functions carry no annotations.
_orientations: Any = nib.orientations


class Statistics(NamedTuple):
    """`floor`: intensity that separates background from brain; `mean` and `std` of the brain."""

    floor: float
    mean: float
    std: float

    def normalise(self, image: FloatArray) -> FloatArray:
        scaled: FloatArray = np.clip((image - self.mean) / self.std, -CLIP, CLIP).astype(np.float32)
        return scaled


def brain_statistics(image: FloatArray) -> Statistics:
    """Measure the brain, robust against lesions and single bright voxels. Uses every second voxel of large volumes."""
    seen = image[::2, ::2, ::2] if image.size > 500_000 else image
    floor = FOREGROUND * float(np.percentile(seen, 99.9))
    brain = seen[seen > floor]
    if brain.size == 0:
        return Statistics(floor, 0.0, 1.0)
    low, high = np.percentile(brain, [1, 99])
    core = brain[(brain >= low) & (brain <= high)]
    # Relative to the intensities, whose unit is arbitrary.
    return Statistics(floor, float(core.mean()), max(float(core.std()), 1e-6 * abs(float(high))) or 1.0)


@dataclass(frozen=True, slots=True)
class ModelView:
    """`box`: the normalised brain, (1, 1, X, Y, Z), each side padded to a multiple of 8. The rest is the way back:
    how the file's axes lie, the volume's shape once turned and once resampled, where the box begins and its size unpadded."""

    box: torch.Tensor
    orientation: Affine
    turned_shape: Shape
    model_shape: Shape
    low: Shape
    size: Shape

    def there(self, native: FloatArray) -> FloatArray:
        """A map over the file's voxels as a map over the padded box."""
        turned = np.ascontiguousarray(_orientations.apply_orientation(native, self.orientation))
        model = _resized(torch.from_numpy(turned), self.model_shape).numpy()
        return _padded(model[_slices(self.low, self.size)])

    def back(self, probability: torch.Tensor) -> FloatArray:
        """A map over the padded box (X, Y, Z) as a map over the file's voxels; zero outside the box."""
        whole = torch.zeros(self.model_shape)
        whole[_slices(self.low, self.size)] = probability[_slices((0, 0, 0), self.size)]
        there = _orientations.axcodes2ornt(("R", "A", "S"))
        home = _orientations.ornt_transform(there, self.orientation)
        native: FloatArray = _orientations.apply_orientation(_resized(whole, self.turned_shape).numpy(), home)
        return native


def to_model(volume: Volume) -> ModelView:
    """The network's view of `volume`. Raises InvalidInput when no brain is in it, PayloadTooLarge when far too much is."""
    orientation: Affine = _orientations.io_orientation(volume.affine)
    turned: FloatArray = _orientations.apply_orientation(volume.data, orientation)
    spacing = volume.spacing[np.argsort(orientation[:, 0])]
    turned_shape = _shape(turned)
    model = _resized(torch.from_numpy(np.ascontiguousarray(turned)), _model_shape(turned_shape, spacing)).numpy()
    statistics = brain_statistics(model)
    low, size = _brain_box(model > statistics.floor)
    box = statistics.normalise(_padded(model[_slices(low, size)]))
    return ModelView(torch.from_numpy(box)[None, None], orientation, turned_shape, _shape(model), low, size)


def _model_shape(shape: Shape, spacing: Affine) -> Shape:
    """The shape at the model's spacing; an axis that is near enough stays as it is."""
    factors = np.where(np.abs(spacing / SPACING_MM - 1.0) <= SPACING_TOLERANCE, 1.0, spacing / SPACING_MM)
    first, second, third = (max(1, round(side * factor)) for side, factor in zip(shape, factors.tolist(), strict=True))
    if first * second * third > 4 * MAX_BOX_VOXELS:
        raise PayloadTooLarge(f"The volume spans {first} x {second} x {third} mm, far more than a head.")
    return first, second, third


def _brain_box(inside: NDArray[np.bool_]) -> tuple[Shape, Shape]:
    """Return where the brain's box begins, and its size."""
    if int(inside.sum()) < MIN_BRAIN_VOXELS:
        raise InvalidInput(
            f"Fewer than {MIN_BRAIN_VOXELS / 1000:.0f} ml stand out from the background: no brain in there."
        )
    low, size = [], []
    for axis, side in enumerate(inside.shape):
        filled = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        start, stop = max(int(filled[0]) - MARGIN, 0), min(int(filled[-1]) + 1 + MARGIN, side)
        low.append(start)
        size.append(stop - start)
    if np.prod(size) > MAX_BOX_VOXELS:
        raise PayloadTooLarge(
            f"What stands out from the background spans {' x '.join(map(str, size))} mm, far more than a brain.",
            next_step="Send a brain-extracted volume.",
        )
    return (low[0], low[1], low[2]), (size[0], size[1], size[2])


def _padded(box: FloatArray) -> FloatArray:
    """Pad with zeros up to the next multiple: outside an extracted brain, intensities are zero."""
    return np.pad(box, [(0, -length % MULTIPLE) for length in box.shape])


def _resized(data: torch.Tensor, shape: Shape) -> torch.Tensor:
    if tuple(data.shape) == shape:
        return data
    return functional.interpolate(data[None, None], size=shape, mode="trilinear", align_corners=False)[0, 0]


def _slices(low: Shape, size: Shape) -> tuple[slice, ...]:
    return tuple(slice(start, start + length) for start, length in zip(low, size, strict=True))


def _shape(data: NDArray[Any]) -> Shape:
    first, second, third = data.shape
    return first, second, third
