"""DICOM files in the deflated transfer syntax, inflated within limits.

pydicom inflates such a file to any size, and it finds the transfer syntax in places where a look at the file's beginning does
not: behind a false length of the meta data, or at the start of what was inflated. So whatever names it elsewhere is refused.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from schemas.errors import PayloadTooLarge

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1\0\0\0"
#: The element TransferSyntaxUID with this value, in each encoding that pydicom reads.
_SAYS_DEFLATED = re.compile(rb"\x02\x00\x10\x00.{4,8}?[\s\x00]*" + re.escape(_DEFLATED), re.DOTALL)


def inflated_files(contents: Iterable[bytes], most_of_one: int, most_growth: int) -> Iterator[bytes]:
    """Yield each file without the deflated transfer syntax; others as they are.

    Args:
        contents: The files.
        most_of_one: Bytes that one file may have then.
        most_growth: Bytes that all may gain together.

    Raises PayloadTooLarge; EOFError and zlib.error for a damaged file.
    """
    for content in contents:
        plain = _inflated(content, max(1, min(most_of_one, most_growth + len(content))))
        most_growth -= len(plain) - len(content)
        yield plain


def _inflated(content: bytes, limit: int) -> bytes:
    start = 132 if content[128:132] == b"DICM" else 0
    end = start + 12 + int.from_bytes(content[start + 8 : start + 12], "little")
    meta = content[:end]
    if _DEFLATED not in meta:
        return _checked(content)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(content[end:], limit)
    if inflater.unconsumed_tail or len(data) >= limit:
        raise PayloadTooLarge(f"A deflated file of the series inflates to more than {limit >> 20} MiB.")
    if not inflater.eof:
        raise EOFError
    return _checked(meta.replace(_DEFLATED, _EXPLICIT) + data)


def _checked(content: bytes) -> bytes:
    if _SAYS_DEFLATED.search(content):
        raise EOFError
    return content
