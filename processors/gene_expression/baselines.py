"""Baselines: scikit-learn's logistic regression, tuned; one that knows the age alone; and the most frequent class."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import GridSearchCV, StratifiedKFold  # type: ignore[import-untyped]

from processors.gene_expression.data import Cohort
from processors.gene_expression.scores import Scores

GRID = {"C": [0.0005, 0.002, 0.01, 0.1], "class_weight": [None, "balanced"]}
INNER_FOLDS = 3


def tuned_regression(training: Cohort, test: Cohort, genes: int, scoring: str) -> Scores:
    """Return the probabilities of `test` by L2 logistic regression on standardised values, tuned within `training`.

    `scoring`: the score that the choice of C and class weights maximises, by its name in scikit-learn.
    """
    kept = np.argsort(-training.values.var(0), kind="stable")[:genes]
    mean, sd = training.values[:, kept].mean(0), training.values[:, kept].std(0)
    inputs, others = ((cohort.values[:, kept] - mean) / sd for cohort in (training, test))
    # Turned into as many coordinates as there are patients: no L2 penalty changes, and a fit takes a fifth of the time.
    basis, coordinates = np.linalg.qr(inputs.T)
    search = GridSearchCV(
        LogisticRegression(max_iter=300),
        GRID,
        scoring=scoring,
        cv=StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=0),
    )
    found: Scores = search.fit(coordinates.T, training.labels).predict_proba(others @ basis)
    return found


def age_alone(training: Cohort, test: Cohort) -> Scores:
    """Return the probabilities of `test` from each patient's age; classes weigh alike, as in the model."""
    mean, sd = training.ages.mean(), training.ages.std()
    inputs, others = (((cohort.ages - mean) / sd)[:, None] for cohort in (training, test))
    found: Scores = LogisticRegression(class_weight="balanced").fit(inputs, training.labels).predict_proba(others)
    return found


def majority(training: Cohort, test: Cohort) -> Scores:
    """Return for every patient of `test` how frequent the classes are in `training`."""
    shares = np.bincount(training.labels) / len(training.labels)
    found: Scores = np.tile(shares, (len(test.labels), 1))
    return found
