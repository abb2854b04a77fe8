"""Tables of gene expression for tests: as rows of cells, and written to CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.gene_expression.genes import Gene, GeneIndex
from processors.gene_expression.network import GeneModel

Rows = list[list[str]]
Values = NDArray[np.float64]

GENES = GeneIndex(
    [Gene("ESR1", "2099"), Gene("ERBB2", "2064"), Gene("HLA_F", "3134"), Gene("C6orf97", "80129"), Gene("KRT5")]
)


def samples_in_rows(names: Sequence[str], genes: Sequence[str], values: Values, corner: str = "sample") -> Rows:
    return [[corner, *genes], *([name, *map(repr, row.tolist())] for name, row in zip(names, values, strict=True))]


def transposed(rows: Rows) -> Rows:
    return [list(row) for row in zip(*rows, strict=True)]


def text_of(rows: Rows, delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def write(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    path.write_bytes(text_of(rows, delimiter).encode(encoding))
    return path


def typical(model: GeneModel, samples: int = 1, leave_out: int = 0) -> Rows:
    """Return samples near the model's training mean, without the last genes. Sample n has the mean plus n/10 sd."""
    genes = [gene.symbol for gene in model.genes.genes][: len(model.genes) - leave_out]
    steps = np.arange(samples)[:, None] / 10
    values = (model.mean + steps * model.sd)[:, : len(genes)]
    return samples_in_rows([f"P{n}" for n in range(samples)], genes, values)
