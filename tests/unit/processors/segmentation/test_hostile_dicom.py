"""DICOM files that inflate to far more than they are, by a header that lies, and values that no number can hold."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from processors.mri_lab.series import read_series
from processors.segmentation import dicom
from processors.segmentation.reading import read_volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import ball, deflated, dicom_slices, file_bytes, write_dicom_zip

#: Transfer syntax element of a file's meta data that says deflated.
SAYS_DEFLATED = b"\2\0\x10\0UI\x16\0" + b"1.2.840.10008.1.2.1.99"


def read_as_zip(files: list[bytes], folder: Path) -> None:
    read_volume(write_dicom_zip(folder / "series", [], {f"IM{number}": file for number, file in enumerate(files)}))


def read_as_series(files: list[bytes], folder: Path) -> None:
    paths = [folder / f"{number}.dcm" for number in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    read_series(paths)


@pytest.fixture(params=[read_as_zip, read_as_series])
def read(request: pytest.FixtureRequest) -> Callable[[list[bytes], Path], None]:
    found: Callable[[list[bytes], Path], None] = request.param
    return found


@pytest.fixture
def slices() -> list[FileDataset]:
    made = dicom_slices(ball(), np.eye(4))
    study, frame = generate_uid(), generate_uid()
    for one in made:
        one.StudyInstanceUID, one.FrameOfReferenceUID, one.Modality = study, frame, "MR"
    return made


@pytest.fixture
def peak_mib(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Measure memory, with a limit of one MiB for what a file inflates to."""
    monkeypatch.setattr(dicom, "MAX_INFLATED_BYTES", 1 << 20)
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] >> 20
    tracemalloc.stop()


def end_of_meta(file: bytes) -> int:
    return 144 + int.from_bytes(file[140:144], "little")


def with_a_false_length_of_its_meta_data(file: bytes) -> bytes:
    return file[:140] + bytes(4) + file[144:]


def with_more_meta_data_inside(file: bytes) -> bytes:
    """Deflate once more, behind an element that says deflated again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = end_of_meta(file)
    return file[:end] + packer.compress(SAYS_DEFLATED + file[end:]) + packer.flush()


@pytest.mark.parametrize("packed", [bytes, with_a_false_length_of_its_meta_data, with_more_meta_data_inside])
def test_a_bomb_is_refused_before_it_is_inflated_however_it_is_packed(
    packed: Callable[[bytes], bytes],
    read: Callable[[list[bytes], Path], None],
    slices: list[FileDataset],
    tmp_path: Path,
    peak_mib: Callable[[], int],
) -> None:
    with pytest.raises((PayloadTooLarge, InvalidInput), match=r"inflates|can't be read"):
        read([packed(deflated(slices[0], behind=16))], tmp_path)
    assert peak_mib() < 8


def test_a_count_beyond_all_numbers_is_refused_as_damage(
    read: Callable[[list[bytes], Path], None], slices: list[FileDataset], tmp_path: Path
) -> None:
    for one in slices:
        one.NumberOfSeriesRelatedInstances = 111111
    files = [file_bytes(one).replace(b"111111", b"1e9999") for one in slices]
    with pytest.raises(InvalidInput, match="can't be read"):
        read(files, tmp_path)


def test_a_deflated_series_is_read_as_any_other(slices: list[FileDataset], tmp_path: Path) -> None:
    read_as_series([deflated(one) for one in slices], tmp_path)
