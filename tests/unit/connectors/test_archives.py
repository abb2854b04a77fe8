"""Zip archives that are refused at the door, and those that are not."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.archives import check_zip, is_zip
from schemas.errors import InvalidInput
from tests.harness.archives import zipped

LIMIT = 1 << 30


def check(data: bytes, limit: int = LIMIT) -> None:
    check_zip(io.BytesIO(data), len(data), limit)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_ordinary_archive_is_accepted(method: int) -> None:
    check(zipped("IM0001", "series/IM0002", "사례/IM0003", "a..b", "...", method=method))
    check(zipped())


def test_an_archive_that_was_written_to_a_pipe_is_accepted() -> None:
    """Its local headers have no sizes; they follow the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("IM0001", b"slice")
        archive.writestr("IM0002", b"slice")
    check(pipe.getvalue())


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "\\\\host\\x", "..\\x", "C:\\x", "c:x", "a/..", "x" * 2000]
)
def test_an_entry_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="entry"):
        check(zipped("fine", name))


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unpacks to 2000 bytes"):
        check(zipped("a", "b", data=b"x" * 1000), limit=1999)
    check(zipped("a", "b", data=b"x" * 1000), limit=2000)


def test_an_archive_with_an_extreme_ratio_is_refused_without_unpacking_it() -> None:
    bomb = zipped("zeros", data=bytes(100 << 20))
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="200 times"):
        check(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_in_an_archive_is_refused(method: int) -> None:
    with pytest.raises(InvalidInput, match="archive itself"):
        check(zipped("inner", data=zipped("a"), method=method))


def test_entries_that_share_their_bytes_are_refused() -> None:
    """A directory names the same data many times: kilobytes that unpack to terabytes."""
    plain = zipped("a", data=b"x" * 5000, method=zipfile.ZIP_STORED)
    start = plain.index(b"PK\x01\x02")
    end = plain.index(b"PK\x05\x06")
    entry, many = plain[start:end], 50
    record = bytearray(plain[end:])
    struct.pack_into("<HHI", record, 8, many, many, len(entry) * many)
    with pytest.raises(InvalidInput, match="overlap"):
        check(plain[:start] + entry * many + bytes(record))


def changed(field: int, value: int, size: str = "I") -> bytes:
    """An archive of which one field of the directory's entry is changed."""
    made = bytearray(zipped("a", data=b"x" * 5000, method=zipfile.ZIP_STORED))
    struct.pack_into(f"<{size}", made, made.index(b"PK\x01\x02") + field, value)
    return bytes(made)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: changed(24, 400), "sizes"),
        (lambda: changed(20, 4000), "sizes"),
        (lambda: changed(10, 8, "H"), "contradicts"),
        (lambda: changed(10, 14, "H"), "method"),
        (lambda: changed(46, ord("b"), "B"), "another name"),
        (lambda: changed(42, 1), "contradicts"),
        (lambda: changed(38, 0o120777 << 16), "link"),
        (lambda: changed(8, 1, "H"), "encrypted"),
        (lambda: zipped("a")[:-30], "directory"),
        (lambda: b"PK\x03\x04" + bytes(100), "directory"),
        (lambda: b"", "directory"),
    ],
)
def test_an_archive_whose_directory_lies_is_refused(made: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check(made())


def test_a_directory_that_claims_to_be_huge_is_not_read() -> None:
    made = bytearray(zipped("a"))
    struct.pack_into("<I", made, made.index(b"PK\x05\x06") + 12, 1 << 30)
    with pytest.raises(InvalidInput, match="too large"):
        check(bytes(made))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=12))
def test_no_damaged_archive_raises_anything_but_a_refusal(at: int, put: bytes) -> None:
    made = bytearray(zipped("a", "b/c"))
    made[at : at + len(put)] = put
    with suppress(InvalidInput):
        check(bytes(made))


def test_a_zip_is_known_by_its_type_or_its_first_bytes() -> None:
    assert is_zip("application/zip; x=y", b"")
    assert is_zip("application/octet-stream", b"PK\x03\x04rest")
    assert not is_zip("application/x-nifti", b"\x1f\x8b")
