"""Measure the fusion and write its model card: `python -m processors.multimodal.evaluate`. Some minutes on one core."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
import torch

from processors.artifacts import artifact
from processors.local import loaded
from processors.multimodal.card import CARD, card
from processors.multimodal.data import ARTIFACT, linked, real_people
from processors.multimodal.fitting import People, fit
from processors.multimodal.fusion import FEATURES, MODALITIES
from processors.multimodal.measuring import WithInterval, calibration_gap, difference, left_out_logits, only
from processors.multimodal.processor import DEVIATIONS, Multimodal, risk_and_interval

log = structlog.get_logger()

SEED = 41
#: The link is drawn with another seed than for the shipped weights.
LINK_SEED = 42
#: Made-up outcomes whose true risk is known, and fits of the bootstrap for each: for the interval's coverage.
STUDIES, FITS = 30, 101
#: Standard deviations of a 95 % interval of a normal distribution.
USUAL = 1.96

Views = Mapping[str, Sequence[str]]

PROTEINS, AGE_SEX = MODALITIES["proteins"], MODALITIES["clinical"]
REAL: Views = {"age and sex": AGE_SEX, "proteins": PROTEINS, "proteins, age and sex": (*PROTEINS, *AGE_SEX)}
MARKERS: Views = {name.partition(".")[2]: (name,) for name in PROTEINS}
SINGLE: Views = {
    "volume": MODALITIES["mri"],
    "genes": MODALITIES["genes"],
    "proteins": PROTEINS,
    "age and sex": AGE_SEX,
}
ALL: Views = {"all inputs": FEATURES}
WITHOUT: Views = {f"without {name}": [each for each in FEATURES if each not in own] for name, own in SINGLE.items()}


@dataclass(frozen=True, slots=True)
class ViewScore:
    """A view of the data: the inputs that the model was given. `above_best`: AUC above that of the best single input in it."""

    view: str
    auc: WithInterval
    above_best: WithInterval | None
    best: str
    gap: float


@dataclass(frozen=True, slots=True)
class FusionScores:
    """All figures of the card. `gain`: AUC of proteins, age and sex above age and sex. `markers`: AUC of the proteins above
    the best single marker. `coverage`: share of known true risks within the interval; `usual_coverage`: within 1.96 standard
    deviations. `width`: mean of the interval."""

    people: int
    died: float
    real: list[ViewScore]
    gain: WithInterval
    markers: ViewScore
    generated: list[ViewScore]
    coverage: float
    usual_coverage: float
    width: float


def measured(people: People) -> FusionScores:
    """Return all measurements. `people`: those of flchain."""
    outcome = people.died
    real = left_out_logits(people, {**REAL, **MARKERS}, SEED)
    whole, alone = "proteins, age and sex", {"age and sex": AGE_SEX, "proteins": PROTEINS}
    gain = difference(real[whole], real["age and sex"], outcome, SEED)
    rows = [row(name, real, {}, outcome) for name in alone] + [row(whole, real, alone, outcome)]
    # The comparison with single markers is fair only among people who have them all.
    complete = ~people.raw[:, 4].isnan()
    markers = row("proteins", {name: each[complete] for name, each in real.items()}, MARKERS, outcome[complete])
    made = linked(people, LINK_SEED)
    logits = left_out_logits(made, {**SINGLE, **ALL, **WITHOUT}, SEED)
    generated = [row(name, logits, {}, outcome) for name in SINGLE]
    generated += [row(name, logits, _within(name), outcome) for name in (*ALL, *WITHOUT)]
    return FusionScores(len(outcome), float(outcome.mean()), rows, gain, markers, generated, *interval_coverage(people))


def row(view: str, logits: Mapping[str, torch.Tensor], singles: Views, outcome: torch.Tensor) -> ViewScore:
    """Return the figures of a view, compared with the best of `singles`."""
    aucs = {name: difference(logits[name], None, outcome, SEED) for name in singles}
    best = max(aucs, key=lambda name: aucs[name].value, default="")
    above = difference(logits[view], logits[best], outcome, SEED) if best else None
    own = difference(logits[view], None, outcome, SEED)
    return ViewScore(view, own, above, best, calibration_gap(logits[view], outcome))


def interval_coverage(people: People) -> tuple[float, float, float]:
    """Return how often the processor's interval and the usual one hold the true risk, and the processor's mean width.

    The true risk is known only if outcomes are made: the shipped model's risk from proteins, age and sex is taken for true,
    outcomes are drawn from it for the real people, and the whole model is fitted to these.
    """
    raw = only(people.raw, REAL["proteins, age and sex"])
    true = loaded(Multimodal).model(raw).logits[:, 0].sigmoid()
    generator = torch.Generator().manual_seed(SEED)
    studies = []
    for study in range(STUDIES):
        died = torch.bernoulli(true, generator=generator)
        logits = fit(People(raw, died), FITS, seed=study)(raw).logits
        _, low, high = risk_and_interval(logits, DEVIATIONS)
        _, lower, higher = risk_and_interval(logits, USUAL)
        studies.append([_share(low, true, high), _share(lower, true, higher), float((high - low).mean())])
        log.info("interval", study=study, coverage=round(studies[-1][0], 3))
    coverage, usual, width = (sum(column) / STUDIES for column in zip(*studies, strict=True))
    return coverage, usual, width


def _share(low: torch.Tensor, true: torch.Tensor, high: torch.Tensor) -> float:
    return float(((low <= true) & (true <= high)).double().mean())


def _within(view: str) -> Views:
    """Return the single inputs of a view."""
    return {name: features for name, features in SINGLE.items() if view != f"without {name}"}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    found = measured(real_people(artifact(ARTIFACT)))
    CARD.write_text(card(found), encoding="utf-8")
    log.info("card written", gain=found.gain.value, low=found.gain.low)


if __name__ == "__main__":
    main()
