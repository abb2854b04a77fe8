"""The overlay: three orthogonal slices of a volume with the outline of its lesions, as a PNG.

Slices are drawn as radiologists look at them: the patient's right is on the left of the picture, and the letters at each edge
say so (R, L, A, P, S, I). Of an oblique volume the slices lie along its own axes, and the letters name the nearest direction.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from processors.segmentation.grid import FOREGROUND
from processors.segmentation.volume import Affine, Volume, spacing_of

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Index = tuple[int, int, int]

PANEL_PX = 400
GAP_PX = 14
CAPTION_PX = 30
#: Millimetres shown round the brain.
MARGIN_MM = 8.0
SCALE_BARS_MM = (50, 20, 10, 5)
OUTLINE = (255, 72, 48)
FILL = 0.22  # share of the outline's colour within a lesion
TEXT = (235, 235, 235)
#: The panels: the axis that each slice lies across, its name, and the letters at its left, right, top and bottom.
PANELS = ((2, "axial", "RLAP"), (1, "coronal", "RLSI"), (0, "sagittal", "APSI"))

# nibabel's functions carry no annotations.
_orientations: Any = nib.orientations


def greys(volume: Volume) -> Bytes:
    """Return the intensities as greys, 0 for the background: a quarter of the memory, kept until the picture is drawn."""
    seen = volume.data[::2, ::2, ::2]
    floor = FOREGROUND * float(np.percentile(seen, 99.9))
    brain = seen[seen > floor]
    high = float(np.percentile(brain, 99.5)) if brain.size else floor + 1.0
    shown = np.zeros(volume.data.shape, dtype=np.uint8, order="F")
    scale = 254.0 / max(high - floor, 1e-12)
    for level in range(volume.data.shape[-1]):
        plane = (volume.data[..., level] - floor) * scale
        shown[..., level] = np.where(plane > 0.0, np.clip(plane + 1.0, 0.0, 255.0), 0.0)
    return shown


@dataclass(frozen=True, slots=True)
class Turned:
    """Greys and mask with their axes turned to R-A-S, and where the slices lie."""

    image: Bytes
    mask: Bytes
    spacing: Affine
    at: Index


def overlay(image: Bytes, mask: Bytes, affine: Affine, lesion: NDArray[np.int64], caption: str) -> bytes:
    """Return a PNG of three orthogonal slices.

    Args:
        image: Greys by voxel, of `greys`.
        mask: 1 = lesion, of the same shape.
        affine: Voxel index to millimetres, R-A-S.
        lesion: Voxels (n, 3) of the lesion to show; with none the middle slices of the brain are shown.
        caption: A line of text under the slices.
    """
    turned = _turn(image, mask, affine, lesion)
    low, high = _brain_box(turned)
    scale = PANEL_PX / float(((high - low) * turned.spacing).max())
    panels = [_panel(turned, low, high, scale, *panel) for panel in PANELS]
    width = sum(panel.width for panel in panels) + GAP_PX * (len(panels) + 1)
    height = max(panel.height for panel in panels) + 2 * GAP_PX + CAPTION_PX
    canvas = Image.new("RGB", (width, height))
    left = GAP_PX
    for panel in panels:
        canvas.paste(panel, (left, GAP_PX))
        left += panel.width + GAP_PX
    ImageDraw.Draw(canvas).text((GAP_PX, height - CAPTION_PX), caption, fill=TEXT, font=_font(15))
    content = io.BytesIO()
    canvas.save(content, "PNG")
    return content.getvalue()


def _turn(image: Bytes, mask: Bytes, affine: Affine, lesion: NDArray[np.int64]) -> Turned:
    """Turn the axes, and choose for each the slice in which the lesion is largest."""
    orientation = _orientations.io_orientation(affine)
    turned, turned_mask = (_orientations.apply_orientation(each, orientation) for each in (image, mask))
    at = [0, 0, 0]
    for axis, (home, direction) in enumerate(orientation.astype(int)):
        side = image.shape[axis]
        index = _largest(lesion[:, axis]) if len(lesion) else _middle(image, axis)
        at[home] = index if direction > 0 else side - 1 - index
    spacing = spacing_of(affine)[np.argsort(orientation[:, 0])]
    return Turned(turned, turned_mask, spacing, (at[0], at[1], at[2]))


def _largest(indices: NDArray[np.int64]) -> int:
    """Return the most frequent index, the middle one of several."""
    counts = np.bincount(indices)
    most = np.flatnonzero(counts == counts.max())
    return int(most[len(most) // 2])


def _middle(image: Bytes, axis: int) -> int:
    filled = _filled(image, axis)
    return int(filled[0] + filled[-1]) // 2 if filled.size else image.shape[axis] // 2


def _filled(image: Bytes, axis: int) -> NDArray[np.int64]:
    """Return the indices along an axis at which there is anything but background."""
    return np.flatnonzero(image.any(axis=tuple(other for other in range(3) if other != axis)))


def _brain_box(turned: Turned) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and last + 1 index of the part that is shown, along each axis."""
    low, high = np.zeros(3, dtype=np.int64), np.array(turned.image.shape)
    for axis in range(3):
        filled, margin = _filled(turned.image, axis), int(np.ceil(MARGIN_MM / turned.spacing[axis]))
        if filled.size:
            low[axis] = max(0, min(int(filled[0]), turned.at[axis]) - margin)
            high[axis] = min(high[axis], max(int(filled[-1]), turned.at[axis]) + 1 + margin)
    return low, high


def _panel(
    turned: Turned,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    scale: float,
    axis: int,
    name: str,
    letters: str,
) -> Image.Image:
    across, up = (other for other in range(3) if other != axis)
    size = (
        max(1, round(float((high[across] - low[across]) * turned.spacing[across]) * scale)),
        max(1, round(float((high[up] - low[up]) * turned.spacing[up]) * scale)),
    )

    def plane(data: Bytes) -> Bytes:
        """Cut the slice; rows go from the top down, columns from the patient's right (or front) to the left (or back)."""
        shown = data[low[0] : high[0], low[1] : high[1], low[2] : high[2]].take(turned.at[axis] - low[axis], axis=axis)
        return np.ascontiguousarray(shown.T[::-1, ::-1])

    grey = Image.fromarray(plane(turned.image)).resize(size, Image.Resampling.BILINEAR)
    inside = np.asarray(Image.fromarray(plane(turned.mask) * np.uint8(255)).resize(size, Image.Resampling.NEAREST)) > 0
    panel = Image.fromarray(_coloured(np.asarray(grey), inside))
    _write(panel, name, letters, scale)
    return panel


def _coloured(grey: Bytes, inside: Flags) -> Bytes:
    """Return the slice in colour: lesions tinted, their outline two pixels thick."""
    colours = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    red = np.array(OUTLINE, dtype=np.float32)
    colours[inside] = (1.0 - FILL) * colours[inside] + FILL * red
    colours[_grown(inside) & ~_shrunk(inside)] = red
    return colours.astype(np.uint8)


def _grown(inside: Flags) -> Flags:
    padded = np.pad(inside, 1)
    return padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _shrunk(inside: Flags) -> Flags:
    return ~_grown(~inside)


def _write(panel: Image.Image, name: str, letters: str, scale: float) -> None:
    """Draw the letters at the edges, the panel's name and its scale bar."""
    draw, (width, height), font = ImageDraw.Draw(panel), panel.size, _font(17)
    places = ((3, height // 2), (width - 3, height // 2), (width // 2, 2), (width // 2, height - 3))
    for letter, place, anchor in zip(letters, places, ("lm", "rm", "mt", "mb"), strict=True):
        draw.text(place, letter, fill=TEXT, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    draw.text((4, 3), name, fill=TEXT, font=_font(13), stroke_width=1, stroke_fill=(0, 0, 0))
    bar_mm = next((bar for bar in SCALE_BARS_MM if bar * scale <= width * 0.4), SCALE_BARS_MM[-1])
    start, stop, base = 6, 6 + round(bar_mm * scale), height - 8
    draw.line([(start, base), (stop, base)], fill=TEXT, width=3)
    draw.text(
        (start, base - 4), f"{bar_mm} mm", fill=TEXT, font=_font(13), anchor="lb", stroke_width=1, stroke_fill=(0, 0, 0)
    )


def _font(size: int) -> Any:
    """Return Pillow's own font, so that the picture is the same on every machine."""
    return ImageFont.load_default(size)
