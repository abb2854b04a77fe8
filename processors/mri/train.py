"""Train the network of `mri`: `python -m processors.mri.train`.

Training begins with the weights of `segmentation`, which outline lesions but take an unseen head's fluid for them, and runs in
that network's form, which is cheaper; the file holds the same function as MONAI's `UNet` (`transfer.py`). Patches are made as
they are needed, of real heads, and seen twice: as they are, then mirrored. A first round sees small patches of MNI152 and S1,
two more large patches of these and SRI24. Colin27 is never among them.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from torch.utils.data import DataLoader, Dataset

from processors import segmentation
from processors.mri.heads import Head, mni152, s1, sri24
from processors.mri.network import build
from processors.mri.transfer import carry_over
from processors.mri.volumes import draw_head_subject, fluid_point
from processors.segmentation.anatomy import load_anatomy
from processors.segmentation.deformation import TRAINING
from processors.segmentation.grid import Statistics
from processors.segmentation.lesions import draw_volumes
from processors.segmentation.network import LesionNet, restored
from processors.segmentation.synthesis import WEIGHTINGS_SHARE, Subject, draw_subject
from processors.segmentation.train import Batch, Example, loss_of, save, update_average
from processors.weights import load_state, sha256_of

log = structlog.get_logger()

SEED = 20_261_140
WARM_UP = 50
#: Where training begins: `LesionNet`'s weights, which outline lesions well but take unseen fluid for them.
START = Path(segmentation.__file__).parent / "weights" / "lesions.safetensors"
WEIGHTS = Path(__file__).parent / "weights" / "tumour.safetensors"
#: How many lesions a patch that is not empty has, all of one size class, and how often: more than a volume, to learn faster.
LESIONS, LESIONS_SHARE = (1, 3, 5, 8), (0.25, 0.25, 0.25, 0.25)
#: How often a patch has its middle in cerebrospinal fluid, where the false alarms were: without lesions, with lesions.
FLUID_SHARE = (0.6, 0.3)
#: How often lesions may begin in grey matter.
CORTEX_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class HeadRound:
    """`steps`, two of each batch. `schedule`: steps over which the rate would go all the way down from its peak. `decay` of the
    running average. `empty`: the share of patches without lesions. `patch`: voxels a side, one of each of `subjects`.
    `sources`: a head and how often; None stands for `segmentation`'s generator on the average brain, `weightings` for how
    often that has the contrast of T1, T2 and FLAIR."""

    steps: int
    schedule: int
    peak_rate: float
    decay: float
    empty: float
    patch: int
    subjects: int
    sources: tuple[tuple[Callable[[], Head] | None, float], ...]
    weightings: tuple[float, float, float] = WEIGHTINGS_SHARE


FIRST_HEADS = ((None, 0.25), (mni152, 0.2), (s1, 0.55))
ALL_HEADS = ((None, 0.2), (mni152, 0.15), (s1, 0.35), (sri24, 0.3))
BALANCED = ((None, 0.5), (mni152, 0.1), (s1, 0.2), (sri24, 0.2))
#: The first unlearns false alarms fast, and lesions with them; the next two, from its average on, learn lesions again.
PARTS = (
    HeadRound(300, 2900, 7e-4, 0.995, 0.4, 64, 4, FIRST_HEADS),
    HeadRound(880, 880, 3e-4, 0.99, 0.25, 96, 2, ALL_HEADS),
    HeadRound(440, 440, 2.5e-4, 0.99, 0.3, 96, 2, ALL_HEADS),
    HeadRound(500, 500, 3e-4, 0.99, 0.4, 96, 2, BALANCED, (0.2, 0.5, 0.3)),
)


def draw_any_subject(part: HeadRound, rng: np.random.Generator) -> Subject:
    """Draw a head, then a subject of it."""
    source, _ = part.sources[int(rng.choice(len(part.sources), p=[share for _, share in part.sources]))]
    if source is None:
        return draw_subject(load_anatomy(), TRAINING, rng, part.weightings)
    return draw_head_subject(source(), rng)


def make_patch(subject: Subject, seen: Statistics, part: HeadRound, rng: np.random.Generator) -> Example:
    """Make a normalised patch of the brain, with lesions of one size class or without any."""
    empty = bool(rng.random() < part.empty)
    count = 0 if empty else int(rng.choice(LESIONS, p=LESIONS_SHARE))
    fluid = rng.random() < FLUID_SHARE[0 if empty else 1]
    middle = fluid_point(subject.anatomy, rng) if fluid else subject.anatomy.draw_point(rng)
    spacing = rng.uniform(0.9, 1.1, 3)
    affine = np.diag([*spacing, 1.0]).astype(np.float32)
    affine[:3, 3] = subject.deformation.locate(middle) - spacing * part.patch / 2
    volumes = draw_volumes(int(rng.integers(3)), count, rng)
    phantom = subject.render((part.patch,) * 3, affine, volumes, rng, cortex=bool(rng.random() < CORTEX_SHARE))
    jittered = Statistics(seen.floor, seen.mean * rng.uniform(0.95, 1.05), seen.std * rng.uniform(0.9, 1.1))
    return jittered.normalise(phantom.image), phantom.truth.astype(np.float32)


@dataclass(frozen=True, slots=True)
class HeadBatches(Dataset[Batch]):
    """The batch of each second step; the same seed and step give the same batch."""

    seed: int
    part: HeadRound

    def __len__(self) -> int:
        return self.part.steps // 2

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        patches: list[Example] = []
        for _ in range(self.part.subjects):
            subject = draw_any_subject(self.part, rng)
            patches.append(make_patch(subject, subject.statistics(), self.part, rng))
        images, truths = (torch.from_numpy(np.stack(arrays))[:, None] for arrays in zip(*patches, strict=True))
        return images.contiguous(memory_format=torch.channels_last_3d), truths


def train(seed: int, parts: tuple[HeadRound, ...], weights: Path) -> None:
    """Train from the weights of `segmentation` on, and write the running average in MONAI's form as it goes."""
    torch.manual_seed(seed)
    # Loaded before the processes that make batches begin, which then share them.
    heads = sorted({source().name for part in parts for source, _ in part.sources if source is not None})
    log.info("heads", names=heads)
    load_anatomy()
    network = restored(load_state(START)).to(memory_format=torch.channels_last_3d)
    for number, part in enumerate(parts):
        # One process makes batches while this one learns from them.
        batches = DataLoader(HeadBatches(seed + 11 * number, part), None, num_workers=1, prefetch_factor=4)
        network = _train_part(network, part, batches, weights)
    log.info("weights written", sha256=sha256_of(weights))


def _train_part(network: LesionNet, part: HeadRound, batches: DataLoader[Batch], weights: Path) -> LesionNet:
    """Return the running average of the network over a part."""
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=part.peak_rate, weight_decay=1e-4)
    started, recent = time.monotonic(), 0.5
    for step, (images, truth) in enumerate(_twice(batches)):
        for group in optimiser.param_groups:
            group["lr"] = part.peak_rate * _share_of_rate(step, part.schedule)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images)
        loss = loss_of(logits.float(), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        update_average(average, network, min(part.decay, (step + 1) / (step + 6)))
        recent += 0.02 * (float(loss.detach()) - recent)
        if step % 50 == 49:
            log.info("training", step=step, loss=round(recent, 4), seconds=round(time.monotonic() - started))
            save_as_monai(average, weights)
    save_as_monai(average, weights)
    return average


def _share_of_rate(step: int, steps: int) -> float:
    """A short warm-up, then half a cosine down to a fiftieth."""
    return min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * (0.5 + 0.5 * float(np.cos(np.pi * min(1.0, step / steps)))))


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
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.seed, PARTS, options.weights)


if __name__ == "__main__":
    main()
