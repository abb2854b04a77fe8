"""NIfTI files: what is read from them, and what is refused with a reason."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.segmentation.nifti import write_mask
from processors.segmentation.reading import read_volume
from processors.segmentation.volume import Volume
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.harness.volumes import ball, nifti, write_nifti

TURNED = np.array([[0.0, -1.1, 0.0, 10.0], [0.9, 0.0, 0.0, -20.0], [0.0, 0.0, 1.0, 5.0], [0.0, 0.0, 0.0, 1.0]])
#: Right angles, as a qform can say it.
SCANNED = np.array([[0.0, -1.1, 0.0, 10.0], [0.9, 0.0, 0.0, -20.0], [0.0, 0.0, 1.2, 5.0], [0.0, 0.0, 0.0, 1.0]])
PACKED = nifti.Nifti1Image(ball(), TURNED).to_bytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_is_known_by_its_bytes_and_not_by_its_name(suffix: str, tmp_path: Path) -> None:
    named = write_nifti(tmp_path / f"volume{suffix}", ball(), TURNED)
    volume = read_volume(named.rename(tmp_path / "9f86d081"))
    np.testing.assert_array_equal(volume.data, ball())
    np.testing.assert_allclose(volume.affine, TURNED, atol=1e-6)
    np.testing.assert_allclose(volume.spacing, [0.9, 1.1, 1.0], atol=1e-6)
    assert volume.voxel_mm3 == pytest.approx(0.99)


def test_a_second_version_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii"
    nib.nifti2.Nifti2Image(ball(), TURNED).to_filename(path)  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(read_volume(path).data, ball())


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball()[..., None])
    assert read_volume(path).data.shape == ball().shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_volume_with_nan_or_infinity_is_refused(value: float, tmp_path: Path) -> None:
    data = ball().astype(np.float32)
    data[3, 4, 5] = data[6, 7, 8] = value
    with pytest.raises(InvalidInput, match="2 voxels that are NaN or infinite"):
        read_volume(write_nifti(tmp_path / "volume.nii.gz", data))


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume_is_refused(value: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="constant"):
        read_volume(write_nifti(tmp_path / "volume.nii", np.full((10, 10, 10), value, dtype=np.int16)))


def test_a_time_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="4 axes"):
        read_volume(write_nifti(tmp_path / "volume.nii", np.stack([ball(), ball()], -1)))


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="too thin"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball()[:, :, :1]))


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((10, 10, 10), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InvalidInput, match="are not intensities"):
        read_volume(write_nifti(tmp_path / "volume.nii", colours))


def test_an_absurd_size_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    header = bytearray(nifti.Nifti1Image(ball(), np.eye(4)).to_bytes()[:352])
    struct.pack_into("<4h", header, 40, 3, 30_000, 30_000, 30_000)
    path.write_bytes(gzip.compress(bytes(header)))
    with pytest.raises(PayloadTooLarge, match="at most 64,000,000"):
        read_volume(path)


def test_an_unknown_type_of_voxel_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball())
    content = bytearray(path.read_bytes())
    struct.pack_into("<h", content, 70, 12345)  # datatype
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="damaged"):
        read_volume(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    for name in ("volume.nii", "volume.nii.gz"):
        path = write_nifti(tmp_path / name, ball())
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(InvalidInput, match="damaged or cut short"):
            read_volume(path)


def test_a_geometry_that_can_not_be_inverted_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "volume.nii", ball(), TURNED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<4f", content, 312, 0.0, 0.0, 0.0, 0.0)  # srow_z
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="geometry"):
        read_volume(path)


def test_voxels_that_no_scanner_makes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="50 x 1 x 1 mm"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball(), np.diag([50.0, 1.0, 1.0, 1.0])))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 600])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "volume.nii"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="neither NIfTI nor a zip"):
        read_volume(path)


def test_a_gzip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 500))
    with pytest.raises(InvalidInput, match="is not NIfTI"):
        read_volume(path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Unknown kind 'jpeg'"):
        read_volume(write_nifti(tmp_path / "volume.nii", ball()), "jpeg")


def test_a_mask_file_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    mask = (ball() > 600).astype(np.uint8)
    for name in ("one", "two"):
        write_mask(mask, Volume(ball().astype(np.float32), TURNED), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = read_mask(tmp_path / "one")
    np.testing.assert_array_equal(np.asarray(back.dataobj), mask)
    np.testing.assert_allclose(back.affine, TURNED, atol=1e-6)


def test_a_mask_of_a_series_lies_in_the_scanners_space_by_both_transforms(tmp_path: Path) -> None:
    write_mask(ball().astype(np.uint8), Volume(ball().astype(np.float32), SCANNED), tmp_path / "mask")
    header = read_mask(tmp_path / "mask").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(header.get_qform(), SCANNED, atol=1e-5)


OTHER = SCANNED.copy()
OTHER[:3, 3] += 120.0


@pytest.mark.parametrize("kind", [nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image])
@pytest.mark.parametrize(
    ("sform", "qform"),
    [((SCANNED, 1), (OTHER, 1)), ((SCANNED, 4), (OTHER, 2)), (None, (SCANNED, 1)), ((SCANNED, 2), None), (None, None)],
    ids=["they differ", "they differ in space", "qform only", "sform only", "none"],
)
def test_a_mask_carries_both_transforms_of_its_volume_and_their_codes(
    sform: Any, qform: Any, kind: Any, tmp_path: Path
) -> None:
    image = kind(ball(), SCANNED)
    image.set_sform(*(sform or (None, 0)))
    image.set_qform(*(qform or (None, 0)))
    image.header["pixdim"][1:4] = (0.9, 1.1, 1.2)
    image.header.set_xyzt_units("mm", "sec")
    content = io.BytesIO()
    # The image's own writer would set the transforms from its affine.
    image.header.write_to(content)
    (tmp_path / "volume.nii").write_bytes(content.getvalue() + bytes(4) + ball().tobytes(order="F"))

    volume = read_volume(tmp_path / "volume.nii")
    write_mask((volume.data > 600).astype(np.uint8), volume, tmp_path / "mask")

    given, got = image.header, read_mask(tmp_path / "mask", kind).header
    for field in ("sform_code", "qform_code", "xyzt_units", "srow_x", "srow_z", "quatern_c", "qoffset_x", "pixdim"):
        np.testing.assert_array_equal(got[field], given[field], err_msg=field)
    np.testing.assert_allclose(volume.affine, given.get_best_affine())


@pytest.mark.parametrize("size", [96, 400, 60_000])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_extension_of_any_size_is_passed_over(size: int, suffix: str, tmp_path: Path) -> None:
    image = nifti.Nifti1Image(ball(), TURNED)
    image.header.extensions.append(nifti.Nifti1Extension("afni", b"<AFNI_attributes" + b" " * size + b"/>"))
    image.to_filename(tmp_path / f"volume{suffix}")
    np.testing.assert_array_equal(read_volume(tmp_path / f"volume{suffix}").data, ball())


@pytest.mark.parametrize("claimed", [900 << 20, -16])
def test_an_extension_that_lies_about_its_size_costs_no_memory(claimed: int, tmp_path: Path) -> None:
    header = bytearray(nifti.Nifti1Image(np.zeros((16, 16, 16), np.uint8), np.eye(4)).to_bytes()[:348])
    struct.pack_into("<f", header, 108, float(1 << 20))  # vox_offset
    extension = b"\1\0\0\0" + struct.pack("<ii", claimed, 4)
    with gzip.open(tmp_path / "volume.nii.gz", "wb", 1) as file:
        file.write(header + extension)
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="goes on after its voxels"):
            read_volume(tmp_path / "volume.nii.gz")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=60)
@given(level=st.sampled_from([0, 1, 6]), place=st.floats(0, 1), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_packed_file_changes_a_voxel_unnoticed(level: int, place: float, bit: int) -> None:
    """The checksum is at the end, behind the voxels. The 10 bytes of gzip's own header are not covered by it."""
    content = bytearray(gzip.compress(PACKED, level, mtime=0))
    content[10 + int(place * (len(content) - 11))] ^= 1 << bit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        path.write_bytes(content)
        try:
            data = read_volume(path).data
        except (InvalidInput, PayloadTooLarge):
            return
        np.testing.assert_array_equal(data, ball())  # the bit had no meaning: padding before a stored block


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_packed_file_without_its_checksum_is_refused(cut: int, tmp_path: Path) -> None:
    (tmp_path / "volume.nii.gz").write_bytes(gzip.compress(PACKED)[:-cut])
    with pytest.raises(InvalidInput, match="cut short"):
        read_volume(tmp_path / "volume.nii.gz")


def test_the_header_of_a_pair_is_refused_by_name(tmp_path: Path) -> None:
    content = bytearray(PACKED)
    content[344:348] = b"ni1\0"
    (tmp_path / "volume.hdr").write_bytes(content[:348])
    with pytest.raises(InvalidInput, match=r"the \.hdr of a pair"):
        read_volume(tmp_path / "volume.hdr")


def test_an_analyze_file_is_refused_by_name(tmp_path: Path) -> None:
    content = bytearray(PACKED)
    content[344:348] = bytes(4)
    (tmp_path / "volume.img").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"Analyze 7\.5"):
        read_volume(tmp_path / "volume.img")


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_voxels_without_a_size_are_refused_where_the_size_is_used(size: float, tmp_path: Path) -> None:
    content = bytearray(PACKED)
    struct.pack_into("<f", content, 80, size)  # pixdim[1]
    struct.pack_into("<2h", content, 252, 1, 0)  # qform_code, sform_code
    (tmp_path / "volume.nii").write_bytes(content)
    with pytest.raises(InvalidInput, match="how large the voxels are"):
        read_volume(tmp_path / "volume.nii")


@pytest.mark.parametrize(("unit", "millimetres"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_the_unit_of_length_is_honoured(unit: str, millimetres: float, tmp_path: Path) -> None:
    affine = TURNED.copy()
    affine[:3] /= millimetres
    image = nifti.Nifti1Image(ball(), affine)
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "volume.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "volume.nii").affine, TURNED, rtol=1e-5, atol=1e-5)


def test_scaling_is_applied_and_voxels_of_either_byte_order_are_read(tmp_path: Path) -> None:
    for order in "<>":
        header = nifti.Nifti1Header(endianness=order)
        header.set_data_dtype(np.dtype(f"{order}i2"))
        image = nifti.Nifti1Image(ball(), TURNED, header)
        image.header.set_slope_inter(0.25, -3.0)
        content = bytearray(image.to_bytes())
        struct.pack_into(f"{order}2f", content, 112, 0.25, -3.0)
        (tmp_path / "volume.nii").write_bytes(content[:352] + ball().astype(f"{order}i2").tobytes(order="F"))
        np.testing.assert_allclose(read_volume(tmp_path / "volume.nii").data, ball() * 0.25 - 3.0)


def read_mask(path: Path, kind: Any = nifti.Nifti1Image) -> Any:
    return kind.from_bytes(gzip.decompress(path.read_bytes()))
