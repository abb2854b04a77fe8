"""Writes the model card as Markdown, with the measurements of `evaluate.py` in its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from processors.multimodal.data import LINK, PEOPLE
from processors.multimodal.fusion import REPLICATES
from processors.multimodal.processor import DEVIATIONS, WEIGHTS_NAME, WEIGHTS_SHA256, Multimodal

if TYPE_CHECKING:
    from processors.multimodal.evaluate import FusionScores, ViewScore
    from processors.multimodal.measuring import WithInterval

CARD = Path(__file__).parent / "CARD.md"


def card(found: FusionScores) -> str:
    """Return the whole card."""
    return _introduction(found) + _real(found) + _generated(found) + _interval(found) + _DATA


def _introduction(found: FusionScores) -> str:
    return f"""# Model card: multimodal {Multimodal.version}

**The link between MRI volumes, gene probabilities and the outcome is made up.** No data set that we found pairs MR images
with gene expression and serum proteins. Lesion volume and gene probability were drawn for each person, given whether that
person died: ln(volume in ml) is normal with standard deviation {LINK.volume_sd:g} around
ln {LINK.volume_median_ml:g} for those who lived, and shifted so that it has an AUC of {LINK.volume_auc:.2f} (a guess); below
{LINK.smallest_ml:g} ml nothing is found. The logit of the probability is normal with standard deviation {LINK.gene_sd:g}
around {LINK.gene_mean:g}, and shifted to an AUC of {LINK.gene_auc:.2f} (what RNA alone reaches for death among TCGA's glioma
patients). Given the outcome they are independent of each other and of all else. So what they add is an assumption, and not a
result. The shipped `gene-expression` gives the PAM50 class of breast tissue: its `risk` is a probability of three of these
classes, not of anything in a brain. Paired with an MR volume of a brain it shows how the systems work together, no more.

**What proteins, age and sex add is real**: {found.people:,} people of the study flchain, of whom {found.died:.1%} died in
the years that were followed. They are inhabitants of one American county aged 50 and over, and hardly any of them had a brain
tumour. The risk is calibrated to them. **A demonstration of the backbone, not a medical device.**

- **Input**: lesion volume, gene probability, serum free light chains and creatinine, age, sex; any may be missing, but not
  the first three together (docs/multimodal.md).
- **Output**: the risk, its interval, what each input adds, which inputs are missing; a report and a picture.
- **Model**: late fusion. A logistic regression per modality, and weights for their logits that were fitted for each subset
  of modalities.
- **Weights**: `weights/{WEIGHTS_NAME}`, sha256 `{WEIGHTS_SHA256}`.

All figures are written by `python -m processors.multimodal.evaluate`: from models that were fitted without the person who is
assessed (five folds, twice), with 95 % intervals from 1,000 resamples of people. **The shipped weights themselves were fitted
with all {PEOPLE:,} people**; nothing is held out from them. *Gap* is the mean distance between risk and observed share over ten
groups by risk.

"""


def _real(found: FusionScores) -> str:
    markers = found.markers
    assert markers.above_best is not None
    return f"""## Real: proteins, age and sex

{_table(found.real)}

- **Proteins add {_estimate(found.gain)} AUC** to age and sex.
- The three markers together against the best single one ({markers.best}), among people who have all three: AUC
  {markers.auc.value:.4f}, {_estimate(markers.above_best)}.

"""


def _generated(found: FusionScores) -> str:
    return f"""## Generated: with made-up volumes and gene probabilities

The same people; the link was drawn with another seed than that of the shipped weights. **What is gained here was put in by
the generator.** The table shows that the fusion loses nothing that its inputs hold, and that it answers without any of them.

{_table(found.generated)}

"""


def _interval(found: FusionScores) -> str:
    return f"""## The interval

It is {DEVIATIONS:g} standard deviations of {REPLICATES - 1} fits of the whole model to people drawn with replacement, on the
logit. To see whether it holds what it says, risks were taken for true, outcomes drawn from them for the real people, and the
model fitted to these: the interval held the true risk in **{found.coverage:.1%}** of cases; its mean width is
{found.width:.3f}. The usual 1.96 standard deviations held it in {found.usual_coverage:.1%} only, because late fusion itself
is a little off; that is why {DEVIATIONS:g} were chosen, with other simulated outcomes. The
interval says how well the weights are known, and nothing about the made-up link or about other people than these.

"""


def _table(rows: list[ViewScore]) -> str:
    lines = "\n".join(
        f"| {row.view} | {row.auc.value:.4f} ({row.auc.low:.3f} to {row.auc.high:.3f}) "
        f"| {'' if row.above_best is None else f'{_estimate(row.above_best)} ({row.best})'} | {row.gap:.3f} |"
        for row in rows
    )
    return f"| inputs | AUC | above the best single input | gap |\n|---|---|---|---|\n{lines}"


def _estimate(made: WithInterval) -> str:
    return f"{made.value:+.4f} ({made.low:+.4f} to {made.high:+.4f})"


_DATA = """## Data and licence

flchain: Dispenzieri et al., *Use of nonclonal serum immunoglobulin free light chains to predict overall survival in the
general population*, Mayo Clinic Proceedings 2012. It is read from the wheel of scikit-survival (GPL-3), which is downloaded
to the machine that trains or evaluates (`processors/artifacts.toml`), is not imported, and is no part of this repository.

**The weights are shipped.** They are a few hundred regression coefficients: figures computed from measurements of people.
They hold no row of the table, no text and no code of that package, so we do not take its licence to extend to them. Train
your own with `python -m processors.multimodal.train` if your lawyers see it otherwise, or if you have data that really pair
the three.

## What it can't do

- It knows nothing of tumour type, grade, treatment or performance status, which matter more than anything here.
- Age below 50 counts as 50, and so on for every input: beyond the range of the training data the nearest end counts, and
  `outside` names it.
- If only some of the three markers are given, the weight of the proteins is that which was fitted with tables as they are in
  the study (83 % have all three).
"""
