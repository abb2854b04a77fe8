"""The model: a linear layer over standardised log2 values (multinomial logistic regression), and its file.

The file is safetensors: four tensors, and the genes and classes as JSON in its header. One file has all that a prediction
depends on, so that one sha256 pins it. No code is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from processors.gene_expression.genes import Gene, GeneIndex
from processors.weights import load_state
from schemas.errors import ModelNotFound

FORMAT = "sluice.gene-expression.1"
#: Standard deviations from the training mean at which a value is clipped, so that no gene alone decides.
CLIP = 5.0
_KEY = "gene-expression"

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GeneModel:
    """`classes`: (K). `risk_classes`: those whose probabilities are the risk. `floor`: the log2 value of a linear 0. `mean`,
    `sd`: (G) of the training patients' log2 values. `network`: (N, G) standardised values to (N, K) logits."""

    title: str
    genes: GeneIndex
    classes: tuple[str, ...]
    risk_classes: tuple[str, ...]
    floor: float
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    network: nn.Linear

    def standardise(self, values: NDArray[np.float64]) -> Matrix:
        """Return log2 values (N, G) in standard deviations from the training mean, within ±CLIP; 0 where a gene is missing."""
        scaled = np.nan_to_num((values - self.mean) / self.sd, nan=0.0, posinf=CLIP, neginf=-CLIP)
        return np.clip(scaled, -CLIP, CLIP).astype(np.float32)

    def probabilities(self, standardised: Matrix) -> Matrix:
        """Return the probability of each class, (N, K), for standardised values (N, G)."""
        weight = self.network.weight
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(standardised).to(weight.device))
            made: Matrix = logits.softmax(1).cpu().numpy()
        return made

    def risk(self, probabilities: Matrix) -> NDArray[np.float64]:
        """Return the sum of the risk classes' probabilities, (N)."""
        at = [self.classes.index(name) for name in self.risk_classes]
        risk: NDArray[np.float64] = np.clip(probabilities[:, at].astype(np.float64).sum(1), 0.0, 1.0)
        return risk


def save_model(model: GeneModel, path: Path) -> None:
    """Write the model to `path`; the same model gives the same bytes."""
    tensors = {
        "mean": torch.from_numpy(model.mean.astype(np.float32)),
        "sd": torch.from_numpy(model.sd.astype(np.float32)),
        "weight": model.network.weight.detach().float().contiguous(),
        "bias": model.network.bias.detach().float().contiguous(),
    }
    about = {
        "format": FORMAT,
        "title": model.title,
        "genes": [[gene.symbol, gene.entrez] for gene in model.genes.genes],
        "classes": model.classes,
        "risk_classes": model.risk_classes,
        "floor": model.floor,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {_KEY: json.dumps(about, separators=(",", ":"))})


def load_model(path: Path, device: str = "cpu") -> GeneModel:
    """Read a model that `save_model` wrote. Raises ModelNotFound for any other file."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
        state = load_state(path)
        model = _model(about, state)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelNotFound(
            f"{path.name} is no model of gene-expression in the format {FORMAT} ({type(error).__name__}).",
            next_step="Make one with `python -m processors.gene_expression.glioma`.",
        ) from error
    model.network.to(device)
    return model


def _model(about: dict[str, Any], state: dict[str, torch.Tensor]) -> GeneModel:
    """Put the parts together. Raises ValueError, KeyError or TypeError if they do not fit."""
    genes = GeneIndex([Gene(symbol, entrez) for symbol, entrez in about["genes"]])
    classes, risk_classes = tuple(about["classes"]), tuple(about["risk_classes"])
    mean, sd = (state[name].numpy().astype(np.float64) for name in ("mean", "sd"))
    weight, bias = state["weight"].float(), state["bias"].float()
    shapes = [mean.shape, sd.shape, tuple(weight.shape), tuple(bias.shape)]
    count = len(genes)
    if about["format"] != FORMAT or shapes != [(count,), (count,), (len(classes), count), (len(classes),)]:
        raise ValueError("the format or a shape is another one")
    if not set(risk_classes) < set(classes) or not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise ValueError("a risk class is unknown, or a number is not finite")
    network = linear(weight, bias)
    return GeneModel(about["title"], genes, classes, risk_classes, float(about["floor"]), mean, sd, network)


def linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    """Return the layer with these parameters: (K, G) and (K)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.requires_grad_(False).eval()
