"""The contract of `multimodal`: its input and its output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class MultimodalInput:
    """Any of the first three may be missing, but not all of them.

    `mri_volume_mm3`: lesion volume in mm³, as `mri` reports it; 0 if it found nothing. `gene_probability`: the `risk` of
    `gene-expression`, 0..1. `proteins`: a claim check on a CSV table with the columns name, value, unit (docs/multimodal.md).
    `age` in years and `sex` (female or male) make the risk sharper if they are known.
    """

    mri_volume_mm3: float | None = None
    gene_probability: float | None = None
    proteins: Claim | None = None
    age: float | None = None
    sex: str | None = None


@dataclass(frozen=True, slots=True)
class MultimodalOutput:
    """`risk`: probability of death within the study's follow-up, 0..1. `risk_low`, `risk_high`: 95 % interval of the fit alone.

    `used`, `missing`: names of inputs; a marker that the table lacks is called `proteins.creatinine`. `outside`: used inputs
    beyond the range of the training data, which count as its nearest end. `baseline`: logit of the average person of the
    training data; with the `contributions`, by input, it adds up to the logit of `risk`. `report`: JSON. `picture`: PNG, a bar
    for each contribution.
    """

    risk: float
    risk_low: float
    risk_high: float
    used: list[str]
    missing: list[str]
    outside: list[str]
    baseline: float
    contributions: dict[str, float]
    report: Claim
    picture: Claim


MULTIMODAL: ProcessorContract[MultimodalInput, MultimodalOutput] = ProcessorContract(
    "multimodal", MultimodalInput, MultimodalOutput, Path(__file__).parent / "avro"
)
