"""Making a model on a small table, writing and reading its file, and serving a user's own file."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import balanced_accuracy_score, roc_auc_score  # type: ignore[import-untyped]

from processors.gene_expression.contract import GeneExpressionInput
from processors.gene_expression.data import FOLDER, held_out, load_breast
from processors.gene_expression.genes import Gene
from processors.gene_expression.glioma import read_groups
from processors.gene_expression.network import GeneModel, load_model, save_model
from processors.gene_expression.processor import WEIGHTS_NAME, GeneExpression
from processors.gene_expression.scores import balanced_accuracy, folds, interval, macro_auc
from processors.gene_expression.train import Labels, Values, fit, reaches
from processors.local import LocalLoadContext, claim_of, run_one
from processors.weights import sha256_of, weights_beside
from schemas.errors import ModelNotFound, StartupError
from tests.unit.processors.gene_expression.tables import typical, write

GENES = [Gene(f"G{n}", str(100 + n)) for n in range(12)]


def small_table() -> tuple[Values, Labels]:
    """Return 90 patients of three classes, each with one high gene of its own; the last six genes hardly vary."""
    rng = np.random.default_rng(5)
    labels = np.arange(90) % 3
    values = rng.normal(8.0, 1.0, (90, 12))
    values[:, 6:] = 5.0 + values[:, 6:] / 100
    values[np.arange(90), labels] += 4.0
    return values, labels


def small_model() -> GeneModel:
    values, labels = small_table()
    model = fit(values, labels, GENES, ["a", "b", "c"], [0.1], count=6)
    return replace(model, title="Three classes", risk_classes=("b", "c"))


def load(path: Path, **options: str) -> GeneExpression:
    processor = GeneExpression()
    processor.load(LocalLoadContext(GeneExpression, options={"GENE_MODEL_PATH": str(path), **options}))
    return processor


def test_the_most_variable_genes_are_kept_and_the_classes_are_learnt() -> None:
    values, labels = small_table()
    model = small_model()
    assert [gene.symbol for gene in model.genes.genes] == ["G0", "G1", "G2", "G3", "G4", "G5"]
    found = model.probabilities(model.standardise(values[:, :6])).astype(np.float64)
    assert balanced_accuracy(labels, found) > 0.95
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)


@pytest.mark.parametrize("emphasis", [0.0, 1.0])
def test_the_recipe_is_scikit_learns_logistic_regression_on_values_times_their_reach(emphasis: float) -> None:
    values, labels = small_table()
    values, labels = values[:80], labels[:80]  # classes of 27, 27 and 26, so that their weights matter
    model = fit(values, labels, GENES, ["a", "b", "c"], [0.1], count=6, emphasis=emphasis)
    inputs = model.standardise(values[:, :6])
    scaled = inputs * reaches(inputs, labels, emphasis)
    # tol: scikit-learn stops at a gradient of 1e-4 by default, further from the optimum than this comparison allows
    reference = LogisticRegression(C=1 / (0.1 * 80), class_weight="balanced", max_iter=500, tol=1e-8)
    expected = reference.fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(model.probabilities(inputs), expected, atol=2e-4)


def test_a_gene_that_separates_the_classes_reaches_further() -> None:
    values, labels = small_table()
    inputs = small_model().standardise(values[:, :6])
    even, uneven = (reaches(inputs, labels, emphasis) for emphasis in (0.0, 1.0))
    np.testing.assert_array_equal(even, np.ones(6))
    assert uneven[:3].min() > 5 * uneven[3:].max()
    assert (uneven**2).mean() == pytest.approx(1.0)


def test_the_penalty_that_scores_best_across_folds_is_chosen() -> None:
    values, labels = small_table()
    one, same = (fit(values, labels, GENES, ["a", "b", "c"], penalties, count=6) for penalties in ([1e4, 0.1], [0.1]))
    np.testing.assert_array_equal(one.network.weight, same.network.weight)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.safetensors", "same.safetensors")]
    for path in paths:
        save_model(small_model(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = small_model()
    save_model(model, tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors")
    assert (back.title, back.classes, back.risk_classes, back.floor) == (
        "Three classes",
        ("a", "b", "c"),
        ("b", "c"),
        model.floor,
    )
    assert back.genes.genes == model.genes.genes
    values, _ = small_table()
    one, other = (each.probabilities(each.standardise(values[:, :6])) for each in (model, back))
    np.testing.assert_array_equal(one, other)


def test_a_users_own_model_is_served_with_its_classes_and_sha256(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_model(small_model(), path)
    processor = load(path, GENE_MODEL_SHA256=sha256_of(path).upper())
    assert processor.model_sha256 == sha256_of(path)
    table = write(tmp_path / "t.csv", typical(small_model()))
    output = run_one(processor, GeneExpressionInput(claim_of(table)), tmp_path)
    assert (output.classes, output.risk_classes) == (["a", "b", "c"], ["b", "c"])
    assert output.risk == pytest.approx(sum(output.probabilities[1:]), abs=1e-4)


def test_a_users_own_model_with_another_sha256_is_refused(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path / "own.safetensors")
    with pytest.raises(ModelNotFound, match="altered"):
        load(tmp_path / "own.safetensors", GENE_MODEL_SHA256="0" * 64)


def test_a_path_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="GENE_MODEL_PATH names no file"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kind", ["text", "other tensors", "cut short", "shape", "not a number", "torch"])
def test_a_file_that_is_no_model_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("best_model.pth" if kind == "torch" else "own.safetensors")
    model = small_model()
    if kind == "text":
        path.write_text("genes,weights\n")
    elif kind == "other tensors":
        save_file({"weight": torch.zeros(3, 6)}, path)
    elif kind == "torch":
        torch.save({"state_dict": {"weight": torch.zeros(3, 6)}}, path)
    elif kind == "shape":
        save_model(replace(model, classes=("a", "b")), path)
    elif kind == "not a number":
        save_model(replace(model, sd=model.sd * np.nan), path)
    else:
        save_model(model, path)
        path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelNotFound, match="no model of gene-expression"):
        load(path)


def test_altered_shipped_weights_are_refused(tmp_path: Path) -> None:
    altered = bytearray((weights_beside(GeneExpression) / WEIGHTS_NAME).read_bytes())
    altered[-1] ^= 1
    (tmp_path / WEIGHTS_NAME).write_bytes(altered)
    with pytest.raises(ModelNotFound, match="altered"):
        GeneExpression().load(LocalLoadContext(GeneExpression, directory=tmp_path))


def test_the_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 120)
    # Rounded, so that there are ties.
    scores = np.round(rng.dirichlet(np.ones(4), 120) + np.eye(4)[labels] / 3, 1)
    scores /= scores.sum(1, keepdims=True)
    assert macro_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"))
    assert balanced_accuracy(labels, scores) == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)))


def test_an_interval_of_a_gain_excludes_zero_only_if_there_is_one() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(60) % 3
    good, noise, more_noise = np.eye(3)[labels] + rng.random((60, 3)), rng.random((60, 3)), rng.random((60, 3))
    low, high = interval(labels, good, macro_auc, noise, resamples=100)
    assert 0.2 < low < high
    low, high = interval(labels, noise, macro_auc, more_noise, resamples=100)
    assert low < 0 < high


def test_folds_part_the_patients_and_share_every_class() -> None:
    labels = np.repeat([0, 1, 2], [8, 30, 62])
    seen = []
    for training, test in folds(labels, 4, seed=1):
        assert set(training) | set(test) == set(range(100))
        assert set(training) & set(test) == set()
        assert np.bincount(labels[test])[0] == 2
        seen += test.tolist()
    assert sorted(seen) == list(range(100))


def test_a_patient_is_held_out_by_name_alone() -> None:
    assert [held_out(name) for name in ("TCGA-3C-AAAU", "TCGA-3C-AALI", "TCGA-3C-AALJ")] == [False, False, False]
    assert 180 <= sum(held_out(f"TCGA-{n}") for n in range(800)) <= 220


def test_the_breast_table_is_read_from_its_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            f"{FOLDER}/rna.csv", "patient,ESR1_2099,HLA_F_3134\nTCGA-A1-0001,1.5,2\nTCGA-B2-0002,3,-4.25\n"
        )
        archive.writestr(f"{FOLDER}/pam50.csv", "patient,pam50\nTCGA-B2-0002,4\nTCGA-A1-0001,1\n")
        archive.writestr(f"{FOLDER}/clinical.csv", "patient,x,age_at_index\nTCGA-A1-0001,,61\nTCGA-B2-0002,,48\n")
    cohort = load_breast(wheel)
    assert cohort.genes == (Gene("ESR1", "2099"), Gene("HLA_F", "3134"))
    assert cohort.values.tolist() == [[1.5, 2.0], [3.0, -4.25]]
    assert (cohort.labels.tolist(), cohort.ages.tolist(), cohort.sites) == ([1, 4], [61.0, 48.0], ["A1", "B2"])


def test_without_rdata_the_glioma_script_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rdata", None)
    monkeypatch.setitem(sys.modules, "rdata.parser", None)
    with pytest.raises(StartupError, match=r"pip install 'rdata>=1,<2'"):
        read_groups(tmp_path / "labels.rda")
