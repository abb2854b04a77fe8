"""The processor, from a table to two files: the shipped model, the files' contents, a user's own model, and a whole flow."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.gene_expression.contract import GENE_EXPRESSION, GeneExpressionInput, GeneExpressionOutput
from processors.gene_expression.data import CLASSES, RISK_CLASSES
from processors.gene_expression.network import GeneModel, load_model
from processors.gene_expression.processor import WEIGHTS_NAME, WEIGHTS_SHA256, GeneExpression
from processors.local import claim_of, loaded, path_of, run_one
from processors.protocol import Processor
from processors.weights import sha256_of, weights_beside
from schemas.errors import InvalidInput, PayloadTooLarge
from streams.testing import Flow
from tests.unit.processors.gene_expression.tables import Rows, samples_in_rows, transposed, typical, write

WEIGHTS = weights_beside(GeneExpression) / WEIGHTS_NAME


@pytest.fixture(scope="module")
def processor() -> GeneExpression:
    made = loaded(GeneExpression)
    assert isinstance(made, GeneExpression)
    return made


@pytest.fixture(scope="module")
def model() -> GeneModel:
    return load_model(WEIGHTS)


def classify(processor: GeneExpression, path: Path, **options: Any) -> GeneExpressionOutput:
    output = run_one(processor, GeneExpressionInput(claim_of(path), **options), path.parent)
    assert isinstance(output, GeneExpressionOutput)
    return output


def predictions_of(output: GeneExpressionOutput) -> list[dict[str, str]]:
    with path_of(output.predictions).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def report_of(output: GeneExpressionOutput) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path_of(output.report).read_text(encoding="utf-8"))
    return report


def test_it_is_a_processor_that_knows_its_weights(processor: GeneExpression, model: GeneModel) -> None:
    assert isinstance(processor, Processor)
    assert processor.model_sha256 == WEIGHTS_SHA256 == sha256_of(WEIGHTS)
    assert WEIGHTS.stat().st_size < 1_000_000
    assert (model.classes, model.risk_classes) == (CLASSES, RISK_CLASSES)


def test_the_fields_are_those_of_the_only_sample(processor: GeneExpression, model: GeneModel, tmp_path: Path) -> None:
    output = classify(processor, write(tmp_path / "t.csv", typical(model)))
    assert (output.samples, output.genes_used, output.genes_missing, output.genes_extra) == (1, 4000, 0, 0)
    assert (output.classes, output.scale, output.warnings) == (list(CLASSES), "log2", [])
    assert sum(output.probabilities) == pytest.approx(1.0, abs=1e-4)
    assert output.predicted_class == CLASSES[int(np.argmax(output.probabilities))]
    parts = [output.probabilities[CLASSES.index(name)] for name in RISK_CLASSES]
    assert output.risk == pytest.approx(sum(parts), abs=1e-4)


def test_both_files_say_the_same_as_the_fields(processor: GeneExpression, model: GeneModel, tmp_path: Path) -> None:
    output = classify(processor, write(tmp_path / "t.csv", typical(model)))
    [row] = predictions_of(output)
    assert (row["sample"], row["class"], float(row["risk"])) == ("P0", output.predicted_class, output.risk)
    assert [float(row[f"p_{name}"]) for name in CLASSES] == output.probabilities
    report = report_of(output)
    assert report["model"]["sha256"] == WEIGHTS_SHA256
    assert report["genes"] == {"used": 4000, "missing": 0, "extra": 0, "missing_names": []}
    assert report["samples"][0]["class"] == output.predicted_class


def test_the_report_names_the_genes_that_weigh_most_with_their_sign(
    processor: GeneExpression, model: GeneModel, tmp_path: Path
) -> None:
    weight = model.network.weight.numpy()
    best = CLASSES.index("basal-like")
    relative = weight[best] - weight.mean(0)
    place = int(np.argmax(np.abs(relative)))
    # Three standard deviations in favour of the class, and one the other way for the next gene.
    values = model.mean + model.sd * np.sign(relative)
    values[place] += 2 * model.sd[place] * np.sign(relative[place])
    rows = samples_in_rows(["P"], [gene.symbol for gene in model.genes.genes], values[None])
    output = classify(processor, write(tmp_path / "t.csv", rows))
    [sample] = report_of(output)["samples"]
    assert output.predicted_class == "basal-like"
    top = sample["top_genes"][0]
    assert top["gene"] == model.genes.genes[place].symbol
    assert top["contribution"] == pytest.approx(3 * abs(relative[place]), rel=1e-3)
    assert top["sd_from_mean"] == pytest.approx(3 * np.sign(relative[place]), abs=0.01)


@pytest.mark.parametrize("chosen", [None, "P2"])
def test_several_samples_have_a_row_each_and_fields_only_of_the_chosen_one(
    chosen: str | None, processor: GeneExpression, model: GeneModel, tmp_path: Path
) -> None:
    output = classify(processor, write(tmp_path / "t.csv", transposed(typical(model, samples=3))), sample=chosen)
    rows = predictions_of(output)
    if chosen is None:
        assert [row["sample"] for row in rows] == ["P0", "P1", "P2"]
        assert (output.samples, output.predicted_class, output.risk, output.probabilities) == (3, None, None, [])
    else:
        assert [row["sample"] for row in rows] == ["P2"]
        assert (output.samples, output.predicted_class) == (1, rows[0]["class"])


def test_missing_genes_are_named_and_warned_of(processor: GeneExpression, model: GeneModel, tmp_path: Path) -> None:
    output = classify(processor, write(tmp_path / "t.csv", typical(model, leave_out=7)))
    assert (output.genes_used, output.genes_missing) == (3993, 7)
    assert report_of(output)["genes"]["missing_names"] == [gene.symbol for gene in model.genes.genes[-7:]]
    [warning] = output.warnings
    assert "7 of the model's 4,000 genes are missing" in warning


def test_a_sample_far_from_the_training_data_is_warned_of(
    processor: GeneExpression, model: GeneModel, tmp_path: Path
) -> None:
    output = classify(processor, write(tmp_path / "t.csv", typical(model, samples=16)))
    [warning] = output.warnings
    assert "5 of 16 samples lie far from the training data" in warning


@pytest.mark.parametrize("scale", ["auto", "log2"])
def test_values_in_another_unit_are_refused(
    scale: str, processor: GeneExpression, model: GeneModel, tmp_path: Path
) -> None:
    """z-scores look like low log2 values; linear values that are said to be log2 are too high."""
    genes = [gene.symbol for gene in model.genes.genes]
    values = np.linspace(-3, 3, 4000)[None] if scale == "auto" else 2.0 ** model.mean[None]
    with pytest.raises(InvalidInput, match="standard deviations from the training data as a whole"):
        classify(processor, write(tmp_path / "t.csv", samples_in_rows(["P"], genes, values)), scale=scale)


def test_a_table_beyond_the_limit_is_not_fetched(processor: GeneExpression, tmp_path: Path) -> None:
    claim = claim_of(write(tmp_path / "t.csv", [["x"]]))
    nowhere = replace(claim, uri="file:///nowhere", size=64 << 20)
    with pytest.raises(PayloadTooLarge, match="larger than"):
        run_one(processor, GeneExpressionInput(nowhere), tmp_path)


def test_a_job_saves_the_same_bytes_alone_and_in_a_batch(
    processor: GeneExpression, model: GeneModel, tmp_path: Path
) -> None:
    with Flow(processor, contract=GENE_EXPRESSION) as flow:
        tables: list[Rows] = [typical(model), transposed(typical(model, samples=3)), typical(model, leave_out=9)]
        paths = [write(tmp_path / f"t{number}.csv", rows) for number, rows in enumerate(tables)]
        jobs = [flow.submit("gene-expression", GeneExpressionInput(flow.upload(path))) for path in paths]
        no_table = flow.upload(write(tmp_path / "t.csv", [["x"], ["1"]]))
        broken = flow.submit("gene-expression", GeneExpressionInput(no_table))
        flow.settle()
        for job, path in zip(jobs, paths, strict=True):
            view, alone = flow.job(job), classify(processor, path)
            assert view.state == "COMPLETED"
            for file in ("predictions", "report"):
                assert view.output[file]["sha256"] == getattr(alone, file).sha256
        error = flow.job(broken).error
        assert error is not None
        assert error.code == "INVALID_INPUT"
        assert [flow.job(job).output["samples"] for job in jobs] == [1, 3, 1]
