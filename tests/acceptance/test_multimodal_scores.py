"""multimodal, measured again on flchain: proteins add something, fusion loses nothing, and the shipped weights are these.

flchain is downloaded (processors/artifacts.toml). People are assessed by models that were fitted without them. On generated
cases the gain is by construction: the model card reports it, and nothing here demands it.
"""

from __future__ import annotations

import pytest
import torch

from processors.artifacts import artifact
from processors.local import loaded
from processors.multimodal import Multimodal
from processors.multimodal.card import CARD
from processors.multimodal.data import ARTIFACT, linked, real_people
from processors.multimodal.evaluate import ALL, LINK_SEED, REAL, SEED, SINGLE, WITHOUT, ViewScore, row
from processors.multimodal.fitting import People, fit
from processors.multimodal.fusion import FEATURES
from processors.multimodal.measuring import difference, left_out_logits, only

pytestmark = pytest.mark.accept

#: AUC by which fusion may be below its best single input, at the lower end of the interval.
NOT_WORSE = 0.005


@pytest.fixture(scope="module")
def people() -> People:
    torch.set_num_threads(1)
    return real_people(artifact(ARTIFACT))


def test_proteins_add_to_age_and_sex_and_fusion_is_not_worse_than_its_best_real_input(people: People) -> None:
    logits = left_out_logits(people, REAL, SEED)
    gain = difference(logits["proteins, age and sex"], logits["age and sex"], people.died, SEED)
    assert 0.0 < gain.low < gain.value < gain.high
    fused = row("proteins, age and sex", logits, {"age and sex": (), "proteins": ()}, people.died)
    assert fused.above_best is not None
    assert fused.above_best.low > -NOT_WORSE


def test_on_generated_cases_fusion_is_not_worse_than_its_best_input_whichever_is_missing(people: People) -> None:
    made = linked(people, LINK_SEED)
    views = {**SINGLE, **ALL, **WITHOUT}
    logits = left_out_logits(made, views, SEED, repeats=1)
    for view in (*ALL, *WITHOUT):
        singles = {name: own for name, own in SINGLE.items() if view != f"without {name}"}
        scored: ViewScore = row(view, logits, singles, made.died)
        assert scored.above_best is not None
        assert scored.above_best.low > -NOT_WORSE, view


def test_the_shipped_weights_are_those_that_training_makes(people: People) -> None:
    made, shipped = linked(people), loaded(Multimodal).model
    again = fit(made)
    for features in (FEATURES, *WITHOUT.values(), *SINGLE.values()):
        raw = only(made.raw, features)
        torch.testing.assert_close(again(raw).logits[:, 0], shipped(raw).logits[:, 0], rtol=1e-6, atol=1e-6)


def test_the_card_says_first_what_is_made_up() -> None:
    title, statement = CARD.read_text(encoding="utf-8").split("\n\n")[:2]
    assert title.startswith("# Model card: multimodal")
    assert statement.startswith("**The link between MRI volumes, gene probabilities and the outcome is made up.**")
