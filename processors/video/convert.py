"""Makes `weights/voices.safetensors`: the voice encoder of Resemblyzer 0.1.4 without its training state.

    python -m processors.video.convert

Resemblyzer (https://github.com/resemble-ai/Resemblyzer, Apache-2.0, Corentin Jemine) ships the weights as `pretrained.pt`, with
the optimiser's state 17 MB. Its package needs librosa and webrtcvad; the network alone (voices.py) needs neither.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from processors.artifacts import unpacked
from processors.video.voices import WEIGHTS_NAME, VoiceNetwork
from processors.weights import sha256_of

SOURCE = "resemblyzer/pretrained.pt"


def convert(source: Path, target: Path) -> str:
    """Write the tensors of the network in `source` to `target`, unchanged; return the sha256 of the file."""
    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    wanted = VoiceNetwork().state_dict().keys()
    # `similarity_weight` and `similarity_bias` belong to the training's loss.
    save_file({name: checkpoint["model_state"][name].contiguous() for name in sorted(wanted)}, target)
    return sha256_of(target)


def main() -> None:
    """Fetch the wheel and write the file of weights."""
    target = Path(__file__).parent / "weights" / WEIGHTS_NAME
    target.parent.mkdir(exist_ok=True)
    sys.stdout.write(f"{convert(unpacked('resemblyzer') / SOURCE, target)}  {target}\n")


if __name__ == "__main__":
    main()
