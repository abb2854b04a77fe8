"""Reads a biomarker table: CSV with the columns name, value and unit, in any order. Values are returned in mg/dL.

No error quotes a cell, because cells are patient data: it names the row, the column and the marker.
"""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import InvalidInput

#: Bytes. A table has a few rows; a file this large is another one.
LARGEST = 1 << 20
#: The three columns, by the names that are understood.
HEADERS = {
    "name": (
        "name",
        "marker",
        "biomarker",
        "protein",
        "test",
        "이름",
        "항목",
        "항목명",
        "검사명",
        "검사항목",
        "단백질",
    ),
    "value": ("value", "result", "값", "수치", "결과", "결과값", "측정값"),
    "unit": ("unit", "units", "단위"),
}
#: The markers that the model uses, by the names that are understood.
MARKERS = {
    "kappa": ("kappa", "κ", "free kappa", "kappa flc", "flc kappa", "kappa free light chain", "카파", "카파 유리경쇄"),
    "lambda": (
        "lambda",
        "λ",
        "free lambda",
        "lambda flc",
        "flc lambda",
        "lambda free light chain",
        "람다",
        "람다 유리경쇄",
    ),
    "creatinine": ("creatinine", "crea", "serum creatinine", "크레아티닌", "혈청 크레아티닌"),
}
_MASS = {"g/l": 100.0, "g/dl": 1000.0, "mg/dl": 1.0, "mg/l": 0.1, "ug/ml": 0.1, "ug/dl": 0.001}
#: Molar mass of creatinine: 113.12 g/mol, so 1 mg/dL is 88.4 µmol/L.
_MOLAR = {"umol/l": 113.12e-4, "mmol/l": 11.312}
#: What a unit is in mg/dL, by marker. Light chains have no molar unit here: their mass depends on how many are joined.
UNITS: Mapping[str, Mapping[str, float]] = {
    "kappa": _MASS,
    "lambda": _MASS,
    "creatinine": _MASS | _MOLAR,
}
_NEXT = "docs/multimodal.md says what the table holds."


@dataclass(frozen=True, slots=True)
class Proteins:
    """`values`: in mg/dL, by marker; those that the table has. `ignored`: rows of other markers."""

    values: Mapping[str, float]
    ignored: int


def read_proteins(path: Path) -> Proteins:
    """Read a table. Raises InvalidInput: no table, a row without a unit or with an unknown one, a marker twice, or a value
    that is no positive number."""
    if path.stat().st_size > LARGEST:
        raise InvalidInput(f"The protein table has more than {LARGEST} bytes.", next_step=_NEXT)
    rows = _rows(_text(path.read_bytes()))
    columns = _columns(rows[0]) if rows else {}
    if missing := [name for name in HEADERS if name not in columns]:
        raise InvalidInput(f"The protein table has no column {' and no column '.join(missing)}.", next_step=_NEXT)
    values: dict[str, float] = {}
    ignored = 0
    for number, row in enumerate(rows[1:], 2):
        marker = _marker(_cell(row, columns["name"]))
        if marker is None:
            ignored += 1
            continue
        if marker in values:
            raise InvalidInput(f"Row {number} of the protein table has {marker} a second time.", next_step=_NEXT)
        where = f"{marker} in row {number} of the protein table"
        factor = _factor(marker, _cell(row, columns["unit"]), where)
        values[marker] = _value(_cell(row, columns["value"]), factor, where)
    if not values:
        raise InvalidInput(f"The protein table has none of {', '.join(MARKERS)}.", next_step=_NEXT)
    return Proteins(values, ignored)


def _text(data: bytes) -> str:
    """Decode UTF-8 or UTF-16 (with its mark), else cp949, as Excel saves Korean tables."""
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("The protein table is no text in UTF-8, UTF-16 or cp949.", next_step="Save it as CSV UTF-8.")


def _rows(text: str) -> list[list[str]]:
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        raise InvalidInput("The protein table is no CSV: a quote or a line does not end.", next_step=_NEXT) from None
    return [row for row in rows if any(cell.strip() for cell in row)]


def _columns(header: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, cell in enumerate(header):
        for name, known in HEADERS.items():
            if _folded(cell) in known:
                if name in found:
                    raise InvalidInput(f"The protein table has two columns for the {name}.", next_step=_NEXT)
                found[name] = place
    return found


def _marker(cell: str) -> str | None:
    folded = " ".join(_folded(cell).replace("-", " ").replace("_", " ").split())
    return next((marker for marker, names in MARKERS.items() if folded in names), None)


def _value(cell: str, factor: float, where: str) -> float:
    """Return a cell in mg/dL. Raises InvalidInput, also for a number that no float can hold in mg/dL."""
    try:
        value = factor * float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise InvalidInput(
            f"The value of {where} is no positive number.",
            next_step="Write it with a decimal point, or leave the row out if it was not measured.",
        )
    return value


def _factor(marker: str, cell: str, where: str) -> float:
    unit = _folded(cell).replace(" ", "").replace("μ", "u").replace("mcg", "ug")
    factor = UNITS[marker].get(unit)
    if factor is None:
        raise InvalidInput(
            f"The unit of {where} is {'unknown' if unit else 'missing'}.",
            next_step=f"Units of {marker}: {', '.join(UNITS[marker])}.",
        )
    return factor


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _folded(cell: str) -> str:
    """Return a cell in one form: compatibility characters (the micro sign, full-width letters) and case do not count."""
    return unicodedata.normalize("NFKC", cell).strip().casefold()
