"""The processor `multimodal`: checks the inputs, runs whole batches through the fusion, writes a report and a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from processors.multimodal.contract import MultimodalInput, MultimodalOutput
from processors.multimodal.fusion import FEATURES, MODALITIES, LateFusion
from processors.multimodal.picture import write_picture
from processors.multimodal.proteins import Proteins, read_proteins
from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.weights import load_state
from schemas.errors import InvalidInput

WEIGHTS_NAME = "fusion.safetensors"
WEIGHTS_SHA256 = "e0ed70a9d75032b718239e9302d9c2f8278f1f6806a426e83216794dc4f553d8"
#: The input's fields, in the order of every list and chart.
INPUTS = ("mri_volume_mm3", "gene_probability", "proteins", "age", "sex")
#: mm³. A whole head has less.
LARGEST_VOLUME = 5e6
OLDEST = 130.0
SEXES = {"female": 0.0, "f": 0.0, "male": 1.0, "m": 1.0}
#: Half the width of the 95 % interval, in standard deviations of the bootstrap's logits. Not 1.96: `evaluate.py` measures how
#: often the true risk is within (the model card says more).
DEVIATIONS = 2.75
#: Goes into every report, because a report travels without the model card.
CAUTION = (
    "A demonstration, not a medical device. The link of lesion volume and gene probability to the outcome is made up: "
    "no data set pairs them. Proteins, age and sex are weighted by the study flchain."
)

_PROTEINS = MODALITIES["proteins"]


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """`features`: the model's raw ones, NaN where missing."""

    features: list[float]
    proteins: Proteins | None


@dataclass(frozen=True, slots=True)
class Assessed:
    """A row's results. `terms` and `outside` are by feature."""

    prepared: FeatureRow
    risk: float
    low: float
    high: float
    baseline: float
    terms: Mapping[str, float]
    outside: list[str]


class Multimodal:
    name = "multimodal"
    version = "1.0"
    request = MultimodalInput
    result = MultimodalOutput
    policy = Policy(batch=Batch(max_size=64, max_wait_ms=2.0), limits=Limits(soft_ms=10_000, hard_ms=30_000), threads=1)
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        model = LateFusion()
        model.load_state_dict(load_state(ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256)))
        self.model = model.eval()  # on the CPU always: a batch is a few thousand multiplications
        self.model_sha256 = WEIGHTS_SHA256
        self.run([FeatureRow([math.nan] * 6 + [1.0], None)])

    def prepare(self, job: Job[MultimodalInput], ctx: JobContext) -> FeatureRow:
        given = job.input
        if given.mri_volume_mm3 is None and given.gene_probability is None and given.proteins is None:
            raise InvalidInput(
                "There is nothing to assess: the input has no mri_volume_mm3, no gene_probability and no proteins.",
                next_step="Give at least one of them.",
            )
        row = [
            _number("mri_volume_mm3", given.mri_volume_mm3, LARGEST_VOLUME),
            _number("gene_probability", given.gene_probability, 1.0),
            *([math.nan] * len(_PROTEINS)),
            _number("age", given.age, OLDEST),
            _sex(given.sex),
        ]
        proteins = None
        if given.proteins is not None:
            ctx.progress("reading")
            proteins = read_proteins(ctx.open(given.proteins))
            for marker, value in proteins.values.items():
                row[FEATURES.index(f"proteins.{marker}")] = value
        return FeatureRow(row, proteins)

    def run(self, items: Sequence[FeatureRow]) -> Sequence[Assessed]:
        with torch.inference_mode():
            fused = self.model(torch.tensor([item.features for item in items], dtype=torch.double))
            risk, low, high = risk_and_interval(fused.logits, DEVIATIONS)
        return [
            Assessed(
                item,
                float(risk[place]),
                float(low[place]),
                float(high[place]),
                float(fused.baseline[place]),
                dict(zip(FEATURES, fused.contributions[place].tolist(), strict=True)),
                [name for name, out in zip(FEATURES, fused.outside[place].tolist(), strict=True) if out],
            )
            for place, item in enumerate(items)
        ]

    def finish(self, job: Job[MultimodalInput], raw: Assessed, ctx: JobContext) -> MultimodalOutput:
        ctx.progress("writing")
        used = [name for name in INPUTS if getattr(job.input, name) is not None]
        missing = [name for name in INPUTS if name not in used]
        if raw.prepared.proteins is not None:
            missing += [name for name in _PROTEINS if name.partition(".")[2] not in raw.prepared.proteins.values]
        contributions = {
            name: sum(term for feature, term in raw.terms.items() if feature.partition(".")[0] == name) for name in used
        }
        folder = ctx.scratch()
        report = {
            "model": {"name": self.name, "version": self.version, "sha256": self.model_sha256},
            "caution": CAUTION,
            "risk": raw.risk,
            "interval_95": [raw.low, raw.high],
            "baseline_logit": raw.baseline,
            "contributions_logit": contributions,
            "used": used,
            "missing": missing,
            "outside_training_range": raw.outside,
            "inputs": _stated(job.input, raw.prepared),
        }
        title = f"Risk {raw.risk:.0%} ({raw.low:.0%} to {raw.high:.0%})"
        write_picture(folder / "contributions.png", title, contributions, missing)
        return MultimodalOutput(
            risk=raw.risk,
            risk_low=raw.low,
            risk_high=raw.high,
            used=used,
            missing=missing,
            outside=raw.outside,
            baseline=raw.baseline,
            contributions=contributions,
            report=ctx.save(_written(folder / "report.json", report), "application/json"),
            picture=ctx.save(folder / "contributions.png", "image/png"),
        )


def risk_and_interval(logits: torch.Tensor, deviations: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return risk, lower and upper end (N,) of logits (N, replicates), of which the first is the model's."""
    first, half = logits[:, 0], deviations * logits[:, 1:].std(dim=1)
    return first.sigmoid(), (first - half).sigmoid(), (first + half).sigmoid()


def _number(name: str, value: float | None, largest: float) -> float:
    """Return the value, NaN for none. Raises InvalidInput, without quoting it."""
    if value is None:
        return math.nan
    if not 0.0 <= value <= largest:  # NaN fails as well
        raise InvalidInput(f"{name} must be a number from 0 to {largest:g}.")
    return float(value)


def _sex(value: str | None) -> float:
    if value is None:
        return math.nan
    if (known := SEXES.get(value.strip().lower())) is None:
        raise InvalidInput("sex must be female or male.", next_step="Leave it out if it is neither or not known.")
    return known


def _stated(given: MultimodalInput, prepared: FeatureRow) -> dict[str, Any]:
    """Return the inputs as the model used them; proteins in mg/dL."""
    stated: dict[str, Any] = {name: getattr(given, name) for name in INPUTS if name != "proteins"}
    if prepared.proteins is not None:
        stated["proteins_mg_dl"] = dict(prepared.proteins.values)
        stated["other_rows_of_the_protein_table"] = prepared.proteins.ignored
    return stated


def _written(path: Path, report: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
