"""The processor `gene-expression`: reads the table, classifies its samples, writes predictions and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processors.gene_expression.contract import GeneExpressionInput, GeneExpressionOutput
from processors.gene_expression.csv_file import MAX_BYTES
from processors.gene_expression.network import Matrix, load_model
from processors.gene_expression.results import (
    DECIMALS,
    SHIFT_REFUSED,
    Standardised,
    warnings_of,
    write_predictions,
    write_report,
)
from processors.gene_expression.table import read_table
from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.weights import find_weights, sha256_of
from schemas.errors import InvalidInput, ModelNotFound, PayloadTooLarge

WEIGHTS_NAME = "breast_pam50.safetensors"
WEIGHTS_SHA256 = "967d503fdf16652d3baeab3732544e01642bf0ce04544752863d61dceb1db75f"


@dataclass(frozen=True, slots=True)
class Classified:
    """`probabilities`: (samples, classes)."""

    item: Standardised
    probabilities: Matrix


class GeneExpression:
    """Loads the shipped breast cancer model, or the one that GENE_MODEL_PATH names."""

    name = "gene-expression"
    version = "1.0"
    request = GeneExpressionInput
    result = GeneExpressionOutput
    # The files' way to and from the object store takes longer than the rest, so four jobs are prepared at a time.
    policy = Policy(
        batch=Batch(max_size=64, max_wait_ms=2.0, max_cost=10_000),
        limits=Limits(soft_ms=30_000, hard_ms=60_000),
        in_flight=256,
        threads=4,
    )
    #: GENE_MODEL_PATH: a .safetensors file that `glioma.py` wrote, in place of the shipped one. GENE_MODEL_SHA256: its sha256;
    #: without it the file is not compared, and results name the sha256 that it has.
    options = ("GENE_MODEL_PATH", "GENE_MODEL_SHA256")
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        path, self.model_sha256 = _model_file(ctx)
        self._model = load_model(path, ctx.device)
        self._model.probabilities(np.zeros((1, len(self._model.genes)), dtype=np.float32))

    def prepare(self, job: Job[GeneExpressionInput], ctx: JobContext) -> Standardised:
        """Read the table. Raises InvalidInput, PayloadTooLarge."""
        if job.input.table.size > MAX_BYTES:
            raise PayloadTooLarge(f"The table is larger than {MAX_BYTES >> 20} MiB.")
        ctx.progress("reading")
        path = ctx.open(job.input.table)
        table = read_table(path, self._model.genes, self._model.floor, job.input.sample, job.input.scale)
        item = Standardised(table, self._model.standardise(table.values))
        shift = float(np.median(np.abs(item.shifts)))
        if shift > SHIFT_REFUSED:
            raise InvalidInput(
                f"The table's values lie {shift:.1f} standard deviations from the training data as a whole.",
                next_step="Send log2 or linear expression (RSEM), not z-scores, ratios or log10. Is `scale` right?",
            )
        return item

    def cost(self, item: Standardised) -> float:
        return len(item.values)

    def run(self, items: Sequence[Standardised]) -> Sequence[Classified]:
        probabilities = self._model.probabilities(np.concatenate([item.values for item in items]))
        ends = np.cumsum([len(item.values) for item in items])[:-1]
        return [Classified(item, part) for item, part in zip(items, np.split(probabilities, ends), strict=True)]

    def finish(self, job: Job[GeneExpressionInput], raw: Classified, ctx: JobContext) -> GeneExpressionOutput:
        item, probabilities, model, folder = raw.item, raw.probabilities, self._model, ctx.scratch()
        warnings = warnings_of(item)
        predictions, report = folder / "predictions.csv", folder / "report.json"
        write_predictions(item, probabilities, model, predictions)
        write_report(item, probabilities, model, self.model_sha256, self.version, warnings, report)
        only = probabilities[0] if len(probabilities) == 1 else None
        return GeneExpressionOutput(
            predictions=ctx.save(predictions, "text/csv"),
            report=ctx.save(report, "application/json"),
            samples=len(probabilities),
            classes=list(model.classes),
            risk_classes=list(model.risk_classes),
            predicted_class=None if only is None else model.classes[int(only.argmax())],
            probabilities=[] if only is None else [round(float(value), DECIMALS) for value in only],
            risk=None if only is None else round(float(model.risk(probabilities)[0]), DECIMALS),
            genes_used=len(model.genes) - len(item.table.missing),
            genes_missing=len(item.table.missing),
            genes_extra=item.table.extra,
            scale=item.table.scale,
            warnings=warnings,
        )


def _model_file(ctx: LoadContext) -> tuple[Path, str]:
    """Return the file of the model and its sha256. Raises ModelNotFound if it is missing or another than expected."""
    own, expected = ctx.option("GENE_MODEL_PATH"), ctx.option("GENE_MODEL_SHA256").lower()
    if not own:
        return ctx.weights(WEIGHTS_NAME, WEIGHTS_SHA256), WEIGHTS_SHA256
    path = Path(own)
    if not path.is_file():
        raise ModelNotFound(
            f"GENE_MODEL_PATH names no file: {path}.", next_step="Name a .safetensors file, or unset it."
        )
    if expected:
        find_weights(path.name, expected, beside=path.parent)
    return path, sha256_of(path)
