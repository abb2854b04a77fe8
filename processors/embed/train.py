"""Train the digit embedding: `python -m processors.embed.train`. About a minute on one core.

The loss is supervised contrastive: digits of one class are pulled together and pushed from all others in the batch.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import structlog
import torch
from safetensors.torch import save_file
from torch.nn import functional

from processors.embed.data import load_split
from processors.embed.network import PIXELS, SIDE, DigitNet
from processors.weights import sha256_of

log = structlog.get_logger()

SEED = 7
STEPS = 3000
BATCH = 256
PEAK_RATE = 3e-3
TEMPERATURE = 0.1
WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"


def contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Khosla et al. 2020, equation 2: for each digit, the mean log-probability of picking one of its own class."""
    itself = torch.eye(len(vectors), dtype=torch.bool)
    likeness = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -math.inf)
    log_probability = likeness - likeness.logsumexp(dim=1, keepdim=True)
    same = (labels[:, None] == labels[None, :]) & ~itself
    return -(log_probability.masked_fill(~same, 0.0).sum(1) / same.sum(1).clamp(min=1)).mean()


def augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Each digit slightly turned, scaled, sheared and shifted."""
    count = len(pixels)
    angle = torch.empty(count).uniform_(-0.2, 0.2)
    scale = torch.empty(count, 2).uniform_(0.9, 1.12)
    shear = torch.empty(count).uniform_(-0.15, 0.15)
    shift = torch.empty(count, 2).uniform_(-0.15, 0.15)
    first = torch.stack([angle.cos() * scale[:, 0], -angle.sin() + shear, shift[:, 0]], 1)
    second = torch.stack([angle.sin(), angle.cos() * scale[:, 1], shift[:, 1]], 1)
    grid = functional.affine_grid(torch.stack([first, second], 1), [count, 1, SIDE, SIDE], align_corners=False)
    turned = functional.grid_sample(pixels.view(-1, 1, SIDE, SIDE), grid, align_corners=False)
    return (turned + torch.randn_like(turned) * 0.3).clamp(0.0, 16.0).view(-1, PIXELS)


def train(steps: int, seed: int) -> DigitNet:
    """A trained network, in evaluation mode."""
    torch.manual_seed(seed)
    training = load_split().training
    pixels, labels = torch.from_numpy(training.pixels), torch.from_numpy(training.labels)
    network = DigitNet()
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps)
    for step in range(steps):
        chosen = torch.randint(len(labels), (BATCH,))
        loss = contrastive_loss(network(augmented(pixels[chosen])), labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            log.info("training", step=step, loss=round(float(loss.detach()), 4))
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = train(options.steps, options.seed)
    options.weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, options.weights)
    log.info("weights written", file=str(options.weights), sha256=sha256_of(options.weights))


if __name__ == "__main__":
    main()
