"""Opens a DOCX file: checks the ZIP archive and its XML before a parser sees them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docx
from docx.document import Document as DocxDocument
from docx.opc.exceptions import OpcError
from lxml.etree import LxmlError

from schemas.errors import InvalidInput, PayloadTooLarge

#: Bytes of all parts together once inflated, and of the XML parts alone. A résumé of ten pages has 200 KB of XML.
MAX_INFLATED, MAX_XML = 64 << 20, 16 << 20
MAX_PARTS = 2_000
_DOCUMENT = "word/document.xml"
#: The compressions that the format allows. The others need memory as the file says.
_COMPRESSED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
_MALFORMED = (OpcError, LxmlError, SyntaxError, KeyError, ValueError, AttributeError, TypeError, IndexError)


def open_docx(path: Path) -> DocxDocument:
    """Return the document of a DOCX file.

    Raises InvalidInput for another or a damaged file and for XML that declares entities, PayloadTooLarge for an archive that
    inflates to more than the limits.
    """
    try:
        _check(path)
    except (*_DAMAGED, ValueError) as error:  # ValueError: the name of a part is not UTF-8
        raise _damaged() from error
    with malformed_is_damaged():
        return docx.Document(str(path))


@contextmanager
def malformed_is_damaged() -> Iterator[None]:
    """Raise InvalidInput where python-docx fails on a document that lacks a part or an element, or has one of another kind."""
    try:
        yield
    except (*_DAMAGED, *_MALFORMED) as error:
        # `from None`: the parser's message may quote the document.
        raise _damaged() from None if isinstance(error, _MALFORMED) else error


def _damaged() -> InvalidInput:
    return InvalidInput("The DOCX file is damaged and can't be opened.", next_step="Save it again as DOCX or PDF.")


def _check(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        names = {part.filename for part in parts}
        if _DOCUMENT not in names:
            raise InvalidInput("The file is a ZIP archive and no DOCX document.", next_step="Send a DOCX or PDF file.")
        if len(parts) > MAX_PARTS:
            raise PayloadTooLarge(f"The DOCX file has {len(parts):,} parts; {MAX_PARTS:,} are read at most.")
        if sum(part.file_size for part in parts) > MAX_INFLATED:
            raise _too_large(MAX_INFLATED)
        if any(part.compress_type not in _COMPRESSED for part in parts):
            raise _damaged()
        left = MAX_XML
        for part in parts:
            if part.filename.endswith((".xml", ".rels")):
                left -= _check_xml(archive, part, left)


def _check_xml(archive: zipfile.ZipFile, part: zipfile.ZipInfo, most: int) -> int:
    """Return the size of a part. The size that the archive states is not trusted."""
    with archive.open(part) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(MAX_XML)
    # Entities are declared in a DTD, which a DOCX file never has; in UTF-16 a zero byte is beside each letter.
    if b"<!DOCTYPE" in content.replace(b"\0", b"").upper():
        raise InvalidInput(
            "The DOCX file's XML declares entities, which no text program writes.", next_step="Save it again as DOCX."
        )
    return len(content)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The DOCX file inflates to more than {limit >> 20} MiB.", next_step="Remove its pictures and save it again."
    )
