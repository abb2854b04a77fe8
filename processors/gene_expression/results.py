"""The two result files: predictions as CSV, and a report as JSON that says what the predictions rest on."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processors.gene_expression.network import GeneModel, Matrix
from processors.gene_expression.table import GeneTable

#: Genes named for each sample, and samples for which they are named.
TOP_GENES, DETAILED_SAMPLES = 15, 100
#: Mean over all genes of the standardised values. Held-out patients stay within 0.7; tables in other units do not: log10 is at
#: -1.9, z-scores at -2.8. Above the first a warning is given, above the second the table is refused.
SHIFT_WARNED, SHIFT_REFUSED = 1.0, 2.2
#: Decimals of probabilities and contributions, beyond which batches of other sizes differ.
DECIMALS = 5


@dataclass(frozen=True, slots=True)
class Standardised:
    """A table ready for the model. `values`: (samples, genes) in standard deviations."""

    table: GeneTable
    values: Matrix

    @property
    def shifts(self) -> Matrix:
        """Mean over the genes of each sample's standardised values."""
        shifts: Matrix = self.values.mean(1)
        return shifts


def write_predictions(item: Standardised, probabilities: Matrix, model: GeneModel, path: Path) -> None:
    """Write a row for each sample: its name, class, the probability of each class, and risk."""
    risks = model.risk(probabilities)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample", "class", *(f"p_{name}" for name in model.classes), "risk"])
        for name, row, risk in zip(item.table.samples, probabilities, risks, strict=True):
            numbers = [f"{value:.{DECIMALS}f}" for value in (*row, risk)]
            writer.writerow([name, model.classes[int(row.argmax())], *numbers])


def write_report(
    item: Standardised,
    probabilities: Matrix,
    model: GeneModel,
    sha256: str,
    version: str,
    warnings: list[str],
    path: Path,
) -> None:
    """Write how the table was read, and for the first samples the genes that weigh most in their class."""
    table = item.table
    symbols = [gene.symbol for gene in model.genes.genes]
    missing = [symbols[place] for place in table.missing]
    report = {
        "model": {"title": model.title, "version": version, "sha256": sha256, "classes": model.classes},
        "risk": {"classes": model.risk_classes, "meaning": "the probabilities of these classes, added up"},
        "table": {"samples": len(table.samples), "scale": table.scale},
        "genes": {
            "used": len(symbols) - len(missing),
            "missing": len(missing),
            "extra": table.extra,
            "missing_names": missing,
        },
        "warnings": warnings,
        "samples": _details(item, probabilities, model, symbols),
    }
    path.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")


def warnings_of(item: Standardised) -> list[str]:
    """Return what the reader of a result should know about the table."""
    table, found = item.table, []
    if table.missing:
        count, all_genes = len(table.missing), item.values.shape[1]
        found.append(f"{count:,} of the model's {all_genes:,} genes are missing; the training mean stands in for them.")
    if shifted := int((np.abs(item.shifts) > SHIFT_WARNED).sum()):
        found.append(
            f"{shifted:,} of {len(table.samples):,} samples lie far from the training data as a whole: the model may not fit "
            "them. Are the values log2 of RNA-seq counts (RSEM), or linear?"
        )
    if len(table.samples) > DETAILED_SAMPLES:
        found.append(f"The report names genes of the first {DETAILED_SAMPLES} samples only; the predictions have all.")
    return found


def _details(item: Standardised, probabilities: Matrix, model: GeneModel, symbols: list[str]) -> list[dict[str, Any]]:
    weight = model.network.weight.detach().cpu().numpy()
    # A softmax is blind to what all classes share; without it, the sign says for or against this class.
    relative = weight - weight.mean(0)
    details = []
    for name, values, row in list(zip(item.table.samples, item.values, probabilities, strict=True))[:DETAILED_SAMPLES]:
        best = int(row.argmax())
        share = relative[best] * values
        order = np.argsort(-np.abs(share), kind="stable")[:TOP_GENES]
        details.append(
            {
                "sample": name,
                "class": model.classes[best],
                "probability": round(float(row[best]), DECIMALS),
                "top_genes": [
                    {
                        "gene": symbols[place],
                        "contribution": round(float(share[place]), DECIMALS),
                        "sd_from_mean": round(float(values[place]), 2),
                    }
                    for place in order
                ],
            }
        )
    return details
