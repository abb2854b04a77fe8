"""Refuses uploaded zip archives that would harm the program that unpacks them, without unpacking them (docs/adr/0025).

Reads only the directory at the end and the header of each entry, whatever the archive's size. Refused are archives whose
entries name paths outside the folder they are unpacked to, overlap each other (a few kilobytes hold petabytes that way), or
unpack to more than a limit; and those whose directory contradicts the entries, because programs differ in which they believe.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from typing import IO

from schemas.errors import InvalidInput

#: Upper limits of one archive, besides that of its unpacked bytes, which is a setting.
MAX_ENTRIES = 100_000
MAX_DIRECTORY = 64 << 20
#: Deflate reaches at most 1032. Volumes with empty borders compress well; archives of them stay far below.
MAX_RATIO = 200
#: A small archive may have a higher ratio.
FREE_BYTES = 64 << 20
MAX_PATH = 1024

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 1
_SIZES_FOLLOW = 8
_BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError, struct.error, zlib.error)


def is_zip(content_type: str, start: bytes) -> bool:
    """True if a file counts as a zip archive, by its content type or its first bytes."""
    kind = content_type.partition(";")[0].strip().lower()
    return start.startswith(_ZIP) or kind in ("application/zip", "application/x-zip-compressed")


def check_zip(file: IO[bytes], size: int, max_unpacked: int) -> None:
    """Raise InvalidInput if the archive must not be accepted. `file` can seek; `size`: its bytes."""
    try:
        # zipfile trusts the sizes in the end record, so they are looked at first.
        _check_end_record(file, size)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            start = archive.start_dir
    except _BROKEN as error:
        raise _refused("its directory can't be read") from error
    if len(entries) > MAX_ENTRIES:
        raise _refused(f"it has more than {MAX_ENTRIES} entries")
    for entry in entries:
        _check_entry(entry)
    _check_total(entries, size, max_unpacked)
    _check_places(file, entries, start)


def _check_end_record(file: IO[bytes], size: int) -> None:
    tail_size = min(size, 65_557)  # the record's 22 bytes, and the longest comment
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise _refused("it has no directory")
    directory_size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory_size != 0xFFFFFFFF and directory_size > MAX_DIRECTORY:
        raise _refused("its directory is too large")
    if directory_size == 0xFFFFFFFF and (found := tail.rfind(b"PK\x06\x07")) >= 0:
        end64 = int.from_bytes(tail[found + 8 : found + 16], "little")
        file.seek(min(end64, size))
        if int.from_bytes(file.read(48)[40:48], "little") > MAX_DIRECTORY:
            raise _refused("its directory is too large")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename.replace("\\", "/")
    if not name or "\0" in name or len(name) > MAX_PATH:
        raise _refused("the name of an entry can't be used")
    if name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        raise _refused("an entry names a path outside the folder it is unpacked to")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused("an entry is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise _refused("an entry is encrypted")
    if entry.compress_type not in _METHODS:
        raise _refused("an entry is compressed by a method other than deflate")


def _check_total(entries: list[zipfile.ZipInfo], size: int, max_unpacked: int) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked:
        raise _refused(f"it unpacks to {unpacked} bytes; {max_unpacked} are allowed")
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * size:
        raise _refused(f"it unpacks to more than {MAX_RATIO} times its size")
    for entry in entries:
        # A directory that lies about sizes: no deflated byte unpacks to more than 1032.
        if entry.file_size > 1040 * (entry.compress_size + 64):
            raise _refused("the sizes in its directory contradict each other")


def _check_places(file: IO[bytes], entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Compare each entry with its local header, and see that no two share bytes."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            raise _refused("entries overlap")
        file.seek(entry.header_offset)
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size:
            raise _refused("an entry is cut off")
        magic, _, flags, method, _, _, _, packed, unpacked, name_size, extra_size = _LOCAL.unpack(header)
        if magic != b"PK\x03\x04" or method != entry.compress_type:
            raise _refused("an entry contradicts the directory")
        if file.read(name_size).decode("latin-1") != _raw_name(entry):
            raise _refused("an entry has another name than in the directory")
        sizes_known = not flags & _SIZES_FOLLOW and 0xFFFFFFFF not in (packed, unpacked)
        if sizes_known and (packed, unpacked) != (entry.compress_size, entry.file_size):
            raise _refused("an entry has other sizes than in the directory")
        file.seek(extra_size, 1)
        if _begins(file.read(min(64, entry.compress_size)), entry).startswith(_ZIP):
            raise _refused("an entry is a zip archive itself")
        end = entry.header_offset + _LOCAL.size + name_size + extra_size + entry.compress_size
    if end > directory:
        raise _refused("entries overlap the directory")


def _begins(data: bytes, entry: zipfile.ZipInfo) -> bytes:
    """Return the first bytes of an entry, unpacked."""
    if entry.compress_type == zipfile.ZIP_STORED:
        return data
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, 4)
    except zlib.error as error:
        raise _refused("an entry can't be unpacked") from error


def _raw_name(entry: zipfile.ZipInfo) -> str:
    """Return the bytes of an entry's name in the directory, as latin-1."""
    encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
    return entry.orig_filename.encode(encoding).decode("latin-1")


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(
        f"The zip archive is refused: {reason}.",
        next_step="Make the archive again, with the files themselves and relative names.",
    )
