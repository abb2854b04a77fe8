"""Train the lesion network: `python -m processors.segmentation.train`.

Patches are made as they are needed, each from a fresh deformation, contrast and set of lesions; none is seen twice. The
weights kept are a running average of those of the last few hundred steps.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from processors.segmentation.anatomy import Anatomy, FloatArray, load_anatomy
from processors.segmentation.deformation import TRAINING
from processors.segmentation.grid import Statistics
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.network import LesionNet
from processors.segmentation.synthesis import Subject, draw_subject
from processors.weights import sha256_of

log = structlog.get_logger()

SUBJECTS_PER_STEP = 4
#: How many lesions a patch that is not empty has, all of one size class, and how often.
LESIONS, LESIONS_SHARE = (1, 2, 3, 5), (0.33, 0.28, 0.22, 0.17)
SEED = 20_260_101
AVERAGE_DECAY = 0.995
WEIGHTS = Path(__file__).parent / "weights" / "lesions.safetensors"


@dataclass(frozen=True, slots=True)
class Round:
    """`schedule`: steps over which the one-cycle learning rate would go all the way down; `steps`: how many are taken.
    `patch`: voxels a side; `patches`: of each of the four subjects of a step; `empty`: the share of them without lesions."""

    steps: int
    schedule: int
    peak_rate: float
    warm_up: float
    patch: int = 48
    patches: int = 2
    empty: float = 0.1


#: The first learns fast and ends while its rate is still high; the second starts from its averaged weights and settles.
#: Later rounds see more of the brain at once, most of it healthy, and unlearn false alarms.
ROUNDS = (
    Round(1600, 3000, 4e-3, 0.1),
    Round(850, 850, 2.5e-3, 0.05),
    Round(320, 320, 1.5e-3, 0.1, patch=64, patches=1, empty=0.5),
    Round(1100, 1100, 2.5e-3, 0.05, patch=64, patches=1, empty=0.3),
)

Example = tuple[FloatArray, FloatArray]
Batch = tuple[torch.Tensor, torch.Tensor]


def make_patch(subject: Subject, seen: Statistics, part: Round, rng: np.random.Generator) -> Example:
    """Make a normalised patch round a random point of the brain, with lesions of one size class or none."""
    anatomy = subject.anatomy
    middle = anatomy.draw_point(rng)
    spacing = rng.uniform(0.9, 1.1, 3)
    affine = np.diag([*spacing, 1.0]).astype(np.float32)
    affine[:3, 3] = subject.deformation.locate(middle) - spacing * part.patch / 2
    count = 0 if rng.random() < part.empty else int(rng.choice(LESIONS, p=LESIONS_SHARE))
    volumes = draw_volumes(int(rng.integers(3)), count, rng)
    phantom = subject.render((part.patch,) * 3, affine, volumes, rng, cortex=True)
    jittered = Statistics(seen.floor, seen.mean * rng.uniform(0.95, 1.05), seen.std * rng.uniform(0.9, 1.1))
    return jittered.normalise(phantom.image), phantom.truth.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Batches(Dataset[Batch]):
    """The batch of each step; the same seed and step give the same batch."""

    anatomy: Anatomy
    seed: int
    part: Round

    def __len__(self) -> int:
        return self.part.steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        patches: list[Example] = []
        for _ in range(SUBJECTS_PER_STEP):
            subject = draw_subject(self.anatomy, TRAINING, rng)
            seen = subject.statistics()
            patches += [make_patch(subject, seen, self.part, rng) for _ in range(self.part.patches)]
        images, truths = (torch.from_numpy(np.stack(arrays))[:, None] for arrays in zip(*patches, strict=True))
        return images.contiguous(memory_format=torch.channels_last_3d), truths


def loss_of(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, which punishes every false alarm, plus each patch's own Dice, so that small lesions weigh like large."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    probability = logits.sigmoid()
    axes = (1, 2, 3, 4)
    overlap = 2.0 * (probability * truth).sum(axes) + 5.0
    dice = overlap / (probability.sum(axes) + truth.sum(axes) + 5.0)
    return 4.0 * cross_entropy + (1.0 - dice).mean()


def train(seed: int, weights: Path) -> None:
    """Run all rounds, writing the averaged weights after each."""
    torch.manual_seed(seed)
    anatomy = load_anatomy()
    network = LesionNet().to(memory_format=torch.channels_last_3d)
    for number, part in enumerate(ROUNDS):
        # One process makes batches while this one learns from them.
        batches = Batches(anatomy, seed + number, part)
        network = _train_round(network, part, DataLoader(batches, None, num_workers=1, prefetch_factor=4), weights)
        save(network, weights)
    log.info("weights written", sha256=sha256_of(weights))


def _train_round(network: LesionNet, part: Round, batches: DataLoader[Batch], weights: Path) -> LesionNet:
    """The running average of the network over a round."""
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=part.peak_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, part.peak_rate, total_steps=part.schedule, pct_start=part.warm_up
    )
    started, recent = time.monotonic(), 1.5
    for step, (images, truth) in enumerate(batches):
        loss = _step(network, images, truth, optimiser)
        schedule.step()
        update_average(average, network, min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        recent += 0.02 * (loss - recent)
        if step % 50 == 0:
            log.info("training", step=step, loss=round(recent, 4), seconds=round(time.monotonic() - started))
        if step % 200 == 199:
            save(average, weights)
    return average


def _step(network: LesionNet, images: torch.Tensor, truth: torch.Tensor, optimiser: torch.optim.Optimizer) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
    loss = loss_of(logits.float(), truth)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def update_average(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move the running average, of BatchNorm's statistics too, towards the network."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1.0 - decay)
        else:
            kept.copy_(new)


def save(network: torch.nn.Module, weights: Path) -> None:
    """Half-precision safetensors: a file that can't carry code."""
    # BatchNorm's count of batches, the only integer, is of no use later.
    tensors = {name: tensor for name, tensor in network.state_dict().items() if tensor.dtype.is_floating_point}
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.seed, options.weights)


if __name__ == "__main__":
    main()
