"""Train the network of `mri`: `python -m processors.mri.train`.

Patches are made as they are needed, of two real heads (MNI152, S1); none is seen twice. Colin27 is never among them. The
weights kept are a running average of those of the last few hundred steps.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from processors.mri.heads import Head, mni152, s1
from processors.mri.network import build
from processors.mri.volumes import draw_head_subject
from processors.segmentation.anatomy import Anatomy, FloatArray, load_anatomy
from processors.segmentation.deformation import TRAINING
from processors.segmentation.grid import Statistics
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.synthesis import Subject, draw_subject
from processors.segmentation.train import (
    LESIONS,
    LESIONS_SHARE,
    Batch,
    Example,
    Round,
    loss_of,
    save,
    update_average,
)
from processors.weights import sha256_of

log = structlog.get_logger()

SEED = 20_261_128
AVERAGE_DECAY = 0.99
WEIGHTS = Path(__file__).parent / "weights" / "tumour.safetensors"
#: The generator of `segmentation` on the average brain (`None`), the average brain itself, and S1.
SOURCES, SOURCES_SHARE = (None, mni152, s1), (0.25, 0.2, 0.55)
#: How often a patch without lesions has its middle in cerebrospinal fluid, where the false alarms were.
FLUID_SHARE = 0.6
#: How often lesions may begin in grey matter.
CORTEX_SHARE = 0.15

ROUNDS = (
    Round(1600, 2400, 5e-3, 0.08, patch=48, patches=2, empty=0.15),
    Round(2000, 2000, 3e-3, 0.05, patch=64, patches=1, empty=0.35),
)


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


def train(seed: int, weights: Path, start: Path | None, rounds: tuple[Round, ...]) -> None:
    """Run the rounds, from random weights or from those of a file, writing the averaged weights as it goes."""
    torch.manual_seed(seed)
    heads: list[Head] = [mni152(), s1()]
    log.info("heads", names=[head.name for head in heads])
    network = build()
    _begin_rare(network)
    if start is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(start).items()}, strict=False)
    network = network.to(memory_format=torch.channels_last_3d)
    for number, part in enumerate(rounds):
        # One process makes batches while this one learns from them.
        batches = DataLoader(HeadBatches(seed + number, part), None, num_workers=1, prefetch_factor=4)
        network = _train_round(network, part, batches, weights)
        save(network, weights)
    log.info("weights written", sha256=sha256_of(weights))


def _begin_rare(network: torch.nn.Module) -> None:
    """Lesions are rare: the last layer's bias begins by saying so."""
    last = [module for module in network.modules() if isinstance(module, torch.nn.ConvTranspose3d)][-1]
    assert last.bias is not None
    torch.nn.init.constant_(last.bias, -4.0)


def _train_round(network: torch.nn.Module, part: Round, batches: DataLoader[Batch], weights: Path) -> torch.nn.Module:
    """The running average of the network over a round."""
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=part.peak_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, part.peak_rate, total_steps=part.schedule, pct_start=part.warm_up
    )
    started, recent = time.monotonic(), 1.5
    for step, (images, truth) in enumerate(_twice(batches)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        loss = loss_of(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        update_average(average, network, min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        recent += 0.02 * (float(loss.detach()) - recent)
        if step % 50 == 0:
            log.info("training", step=step, loss=round(recent, 4), seconds=round(time.monotonic() - started))
        if step % 100 == 99:
            save(average, weights)
    return average


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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--round", type=int, help="only this round, counted from 0")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds = ROUNDS if options.round is None else ROUNDS[options.round : options.round + 1]
    train(options.seed, options.weights, options.start, rounds)


if __name__ == "__main__":
    main()
