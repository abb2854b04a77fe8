"""Reads the rows of a CSV file as people have them: UTF-8, UTF-16 or cp949, with a BOM or without, separated by , ; or tab."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import InvalidInput, PayloadTooLarge

#: About 300 samples of 6,000 genes. The whole text is in memory while it is read.
MAX_BYTES = 32 << 20
DELIMITERS = ",;\t"
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class CsvFile:
    """`rows` can be read several times. `decimal_comma`: numbers are written 8,5, as spreadsheets do where ; separates."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput for an empty file or an unknown encoding, PayloadTooLarge above MAX_BYTES."""
        if path.stat().st_size > MAX_BYTES:
            raise PayloadTooLarge(
                f"The table is larger than {MAX_BYTES >> 20} MiB.", next_step="Send fewer samples a job."
            )
        self._path = path
        self._encoding = _encoding_of(path.read_bytes())
        self._delimiter = max(DELIMITERS, key=lambda delimiter: len(self._header(delimiter)))
        self.decimal_comma = self._delimiter == ";"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line number in the file, cells) of each row that is not blank. Raises InvalidInput."""
        return self._rows(self._delimiter)

    def _rows(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        # newline="": the reader itself tells the end of a line from one within quotes.
        with self._path.open("r", encoding=self._encoding, newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            try:
                for row in reader:
                    if any(cell and not cell.isspace() for cell in row):
                        yield reader.line_num, row
            except csv.Error as error:
                # The module's text says what is wrong, and repeats no cell.
                raise InvalidInput(
                    f"Line {reader.line_num + 1} of the table can't be read as CSV ({error}).",
                    next_step="Look for a quotation mark that is not closed.",
                ) from error

    def _header(self, delimiter: str) -> list[str]:
        for _, row in self._rows(delimiter):
            return row
        raise InvalidInput("The table is empty.", next_step="Send a CSV with a header and at least one sample.")


def _encoding_of(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return _decodes(content, encoding)
    # A table begins with an ASCII character more often than not; in UTF-16 a zero byte is beside it.
    if content[1:2] == b"\0":
        return _decodes(content, "utf-16-le")
    if content[:1] == b"\0":
        return _decodes(content, "utf-16-be")
    try:
        return _decodes(content, "utf-8")
    except InvalidInput:
        return _decodes(content, "cp949")  # Korean Windows; a superset of EUC-KR


def _decodes(content: bytes, encoding: str) -> str:
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "The table's text is neither UTF-8, UTF-16 nor cp949.", next_step="Save it as CSV in UTF-8."
        ) from error
    return encoding
