"""The contract of `gene-expression`: a table of gene expression in, the class of each sample out, as two files and fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.records import Claim


@dataclass(frozen=True, slots=True)
class GeneExpressionInput:
    """`table`: CSV, one sample a row or one gene a row (`table.py` describes all forms that are read)."""

    table: Claim
    #: Name of the only sample to classify; None: all samples of the table.
    sample: str | None = None
    #: Unit of the values: log2, linear, or auto to detect it.
    scale: str = "auto"


@dataclass(frozen=True, slots=True)
class GeneExpressionOutput:
    """Two files and the headline of one sample.

    `predicted_class`, `probabilities` and `risk` are those of the only sample, or of the one that the job named. With several
    samples and none named they are None and empty: the file `predictions` has all samples.

    `risk` is a probability of classes, not of an outcome: the probabilities of `risk_classes` added up. The shipped model's
    are the three PAM50 subtypes with the worse prognosis in the literature (basal-like, HER2-enriched, luminal B; Parker et
    al. 2009, J Clin Oncol 27:1160). It has not been measured against recurrence or survival.
    """

    #: CSV: sample, class, the probability of each class, risk.
    predictions: Claim
    #: JSON: model, genes used and missing, scale, the genes that contributed most, warnings.
    report: Claim
    #: Samples classified.
    samples: int
    #: The model's classes; `probabilities` has their order.
    classes: list[str]
    #: The classes that `risk` adds up.
    risk_classes: list[str]
    predicted_class: str | None
    probabilities: list[float]
    #: 0..1.
    risk: float | None
    #: Genes of the model that the table has, those that it lacks (the training mean stands in), and columns of no use.
    genes_used: int
    genes_missing: int
    genes_extra: int
    #: log2 or linear: the unit that the values were read in.
    scale: str
    #: Sentences for the reader of the result.
    warnings: list[str]


GENE_EXPRESSION = ProcessorContract(
    "gene-expression", GeneExpressionInput, GeneExpressionOutput, Path(__file__).parent / "avro"
)
