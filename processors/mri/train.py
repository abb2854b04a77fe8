"""Train the network of `mri`: `python -m processors.mri.train`.

Training begins with the weights of `segmentation`, which outline lesions but take an unseen head's fluid for them, and runs in
that network's form, which is cheaper; the file holds the same function as MONAI's `UNet` (`transfer.py`). Patches are made as
they are needed, of two real heads (MNI152, S1), and seen twice: as they are, then mirrored. Colin27 is never among them.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
import torch
from torch.utils.data import DataLoader, Dataset

from processors import segmentation
from processors.mri.heads import Head, mni152, s1
from processors.mri.network import build
from processors.mri.transfer import carry_over
from processors.mri.volumes import draw_head_subject
from processors.segmentation.anatomy import Anatomy, FloatArray, load_anatomy
from processors.segmentation.deformation import TRAINING
from processors.segmentation.grid import Statistics
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.network import LesionNet, restored
from processors.segmentation.synthesis import Subject, draw_subject
from processors.segmentation.train import Batch, Example, Round, loss_of, save, update_average
from processors.weights import load_state, sha256_of

log = structlog.get_logger()

SEED = 20_261_139
AVERAGE_DECAY = 0.98
STEPS = 360
#: Where training begins: `LesionNet`'s weights, which outline lesions well but take unseen fluid for them.
START = Path(segmentation.__file__).parent / "weights" / "lesions.safetensors"
WEIGHTS = Path(__file__).parent / "weights" / "tumour.safetensors"
#: How many lesions a patch that is not empty has, all of one size class, and how often: more than a volume, to learn faster.
LESIONS, LESIONS_SHARE = (1, 3, 5, 8), (0.25, 0.25, 0.25, 0.25)
#: The generator of `segmentation` on the average brain (`None`), the average brain itself, and S1.
SOURCES, SOURCES_SHARE = (None, mni152, s1), (0.25, 0.2, 0.55)
#: How often a patch without lesions has its middle in cerebrospinal fluid, where the false alarms were.
FLUID_SHARE = 0.6
#: How often lesions may begin in grey matter.
CORTEX_SHARE = 0.15

ROUND = Round(STEPS, STEPS, 2.5e-4, 0.0, patch=64, patches=1, empty=0.4)
WARM_UP = 15


def draw_any_subject(rng: np.random.Generator) -> Subject:
    """Draw a head, then a subject of it."""
    source = SOURCES[int(rng.choice(len(SOURCES), p=SOURCES_SHARE))]
    return draw_subject(load_anatomy(), TRAINING, rng) if source is None else draw_head_subject(source(), rng)


def make_patch(subject: Subject, seen: Statistics, part: Round, rng: np.random.Generator) -> Example:
    """Make a normalised patch, with lesions of one size class round a point of the brain, or without any."""
    count = 0 if rng.random() < part.empty else int(rng.choice(LESIONS, p=LESIONS_SHARE))
    fluid = count == 0 and rng.random() < FLUID_SHARE
    middle = _fluid_point(subject.anatomy, rng) if fluid else subject.anatomy.draw_point(rng)
    spacing = rng.uniform(0.9, 1.1, 3)
    affine = np.diag([*spacing, 1.0]).astype(np.float32)
    affine[:3, 3] = subject.deformation.locate(middle) - spacing * part.patch / 2
    volumes = draw_volumes(int(rng.integers(3)), count, rng)
    phantom = subject.render((part.patch,) * 3, affine, volumes, rng, cortex=bool(rng.random() < CORTEX_SHARE))
    jittered = Statistics(seen.floor, seen.mean * rng.uniform(0.95, 1.05), seen.std * rng.uniform(0.9, 1.1))
    return jittered.normalise(phantom.image), phantom.truth.astype(np.float32)


def _fluid_point(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    """A random point of the brain with little tissue: a ventricle, a cistern or a sulcus."""
    grey, white, mask = anatomy.maps[0, 1:4].numpy()
    trials = rng.integers(0, mask.size, 2000)
    fluid = trials[(mask.flat[trials] > 0.5) & (grey.flat[trials] + white.flat[trials] < 0.3)]
    if fluid.size == 0:
        return anatomy.draw_point(rng)
    voxel = np.array(np.unravel_index(fluid[0], mask.shape))
    point: FloatArray = (anatomy.affine[:3, :3] @ voxel + anatomy.affine[:3, 3]).astype(np.float32)
    return point


@dataclass(frozen=True, slots=True)
class HeadBatches(Dataset[Batch]):
    """The batch of each step; the same seed and step give the same batch."""

    seed: int
    part: Round

    def __len__(self) -> int:
        return self.part.steps // 2

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        patches: list[Example] = []
        for _ in range(4):
            subject = draw_any_subject(rng)
            seen = subject.statistics()
            patches += [make_patch(subject, seen, self.part, rng) for _ in range(self.part.patches)]
        images, truths = (torch.from_numpy(np.stack(arrays))[:, None] for arrays in zip(*patches, strict=True))
        return images.contiguous(memory_format=torch.channels_last_3d), truths


def train(seed: int, steps: int, weights: Path) -> None:
    """Train from the weights of `segmentation` on, and write the running average in MONAI's form as it goes."""
    torch.manual_seed(seed)
    heads: list[Head] = [mni152(), s1()]
    log.info("heads", names=[head.name for head in heads])
    network = restored(load_state(START))
    # What it knows of edges is good; where lesions are and are not is what it has to learn.
    network.stem.requires_grad_(False)
    network = network.to(memory_format=torch.channels_last_3d)
    part = replace(ROUND, steps=steps)
    # One process makes batches while this one learns from them.
    batches = DataLoader(HeadBatches(seed, part), None, num_workers=1, prefetch_factor=4)
    _train(network, part, batches, weights)
    log.info("weights written", sha256=sha256_of(weights))


def _train(network: LesionNet, part: Round, batches: DataLoader[Batch], weights: Path) -> None:
    average = copy.deepcopy(network)
    trained = [each for each in network.parameters() if each.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=part.peak_rate)
    started, recent = time.monotonic(), 0.5
    for step, (images, truth) in enumerate(_twice(batches)):
        for group in optimiser.param_groups:
            group["lr"] = part.peak_rate * _share_of_rate(step, part.steps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        loss = loss_of(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        update_average(average, network, min(AVERAGE_DECAY, (step + 1) / (step + 6)))
        recent += 0.05 * (float(loss.detach()) - recent)
        if step % 20 == 19:
            log.info("training", step=step, loss=round(recent, 4), seconds=round(time.monotonic() - started))
            save_as_monai(average, weights)
    save_as_monai(average, weights)


def _share_of_rate(step: int, steps: int) -> float:
    """A short warm-up, then half a cosine down to a twentieth."""
    return min(1.0, (step + 1) / WARM_UP) * (0.05 + 0.95 * (0.5 + 0.5 * float(np.cos(np.pi * min(1.0, step / steps)))))


def save_as_monai(network: LesionNet, weights: Path) -> None:
    """The same function as a file of MONAI's `UNet`."""
    whole = build()
    carry_over(network, whole)
    save(whole, weights)


def _twice(batches: DataLoader[Batch]) -> Iterator[Batch]:
    """Each batch as it is, then mirrored and in other intensities: making one costs more than learning from it."""
    for images, truth in batches:
        yield images, truth
        gain = 1.0 + 0.14 * (torch.rand(len(images), 1, 1, 1, 1) - 0.5)
        shift = 0.4 * (torch.rand(len(images), 1, 1, 1, 1) - 0.5)
        changed = (images.flip(2) * gain + shift).contiguous(memory_format=torch.channels_last_3d)
        yield changed, truth.flip(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.seed, options.steps, options.weights)


if __name__ == "__main__":
    main()
