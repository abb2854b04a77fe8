"""Reads a table of gene expression into a model's genes: any order, either layout, missing and extra genes, log2 or linear.

The layout is the one in which more of the model's genes are found: in the header (one sample a row) or in the first column
(one gene a row). Messages name genes of the model and line numbers, never a value or the name of a sample: those may be a
patient's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.gene_expression.csv_file import CsvFile
from processors.gene_expression.genes import GeneIndex
from schemas.errors import InvalidInput

FloatArray = NDArray[np.float64]

LOG2, LINEAR, AUTO = "log2", "linear", "auto"
#: Linear if one value in a hundred is larger: log2 values of TCGA end at 21, and linear ones pass 2,900 in every sample.
LINEAR_ABOVE = 50.0
#: Share of the model's genes that the training mean may stand in for. CARD.md says what it costs.
MOST_MISSING = 0.2
_ENGLISH = ("sample", "sampleid", "samplename", "id", "patient", "patientid", "case", "caseid", "barcode", "specimen")
_PATIENT = ("환자", "환자id", "환자명", "환자번호", "등록번호")
_SPECIMEN = ("표본", "표본명", "표본번호", "검체", "검체명", "검체번호", "샘플", "샘플명", "시료", "시료명")
#: Headers of a column of sample names, lower case without spaces and underscores. Other tables have it first.
SAMPLE_HEADERS = frozenset((*_ENGLISH, *_PATIENT, *_SPECIMEN))
#: Columns that describe the gene where each row is one.
GENE_HEADERS = frozenset(["entrezgeneid", "entrezid", "entrez", "geneid", "genename", "description", "cytoband"])


@dataclass(frozen=True, slots=True)
class GeneTable:
    """`values`: log2, (samples, genes of the model); NaN in the columns of genes that the table lacks. `missing`: their places.
    `extra`: columns (or rows) that are no gene of the model. `scale`: the unit in the file, log2 or linear."""

    samples: tuple[str, ...]
    values: FloatArray
    missing: tuple[int, ...]
    extra: int
    scale: str


@dataclass(frozen=True, slots=True)
class _Cells:
    """The numbers as they are in the file, before their unit is known.

    `numbers`: (samples, found genes), NaN where a cell is no number. `places`: which genes of the model were found. `extra`:
    as in GeneTable. `lines` and `columns`: where the rows and columns that were read are in the file.
    """

    samples: list[str]
    numbers: FloatArray
    places: list[int]
    extra: int
    lines: list[int]
    columns: list[int]
    samples_in_rows: bool

    def where(self, bad: NDArray[np.bool_], genes: GeneIndex) -> str:
        """Return the gene and the cell of the first True in `bad` (samples, found genes), for a message."""
        sample, gene = (int(index) for index in np.argwhere(bad)[0])
        row, column = (sample, gene) if self.samples_in_rows else (gene, sample)
        symbol = genes.genes[self.places[gene]].symbol
        return f"Gene {symbol} in line {self.lines[row]}, column {self.columns[column] + 1} of the table"


def read_table(path: Path, genes: GeneIndex, floor: float, sample: str | None = None, scale: str = AUTO) -> GeneTable:
    """Read a table into the order of `genes`.

    Args:
        path: A CSV file.
        genes: The model's genes.
        floor: The log2 value that a linear 0 counts as.
        sample: Name of the only sample to read; None reads all.
        scale: log2, linear, or auto to detect it.

    Raises InvalidInput, PayloadTooLarge.
    """
    if scale not in (AUTO, LOG2, LINEAR):
        raise InvalidInput("The scale is none of auto, log2 and linear.", next_step="auto is the default.")
    file = CsvFile(path)
    header = _header(file)
    places = [genes.find(name) for name in header]
    across = sum(place is not None for place in places)
    down = sum(genes.find(row[0]) is not None for _, row in file.rows())
    if not across and not down:
        raise InvalidInput(
            "The table names none of the model's genes, neither in its header nor in its first column.",
            next_step="Name genes by symbol (ESR1), Entrez id (2099) or both (ESR1_2099).",
        )
    wanted = None if sample is None else _name(sample)
    if across >= down:
        cells = _samples_in_rows(file, header, places, genes, wanted)
    else:
        cells = _genes_in_rows(file, header, genes, wanted)
    missing = _missing(cells.places, genes)
    _check_samples(cells.samples, wanted)
    found, unit = _as_log2(cells, genes, scale, floor)
    values = np.full((len(cells.samples), len(genes)), np.nan)
    values[:, cells.places] = found
    return GeneTable(tuple(cells.samples), values, missing, cells.extra, unit)


def _header(file: CsvFile) -> list[str]:
    """Return the first row; with an empty name in front where R left the column of row names without one."""
    rows = file.rows()
    _, header = next(rows)
    _, first = next(rows, (0, [""]))
    return ["", *header] if len(first) == len(header) + 1 and first[-1].strip() else header


def _body(file: CsvFile, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows after the header, each with `width` cells."""
    rows = file.rows()
    next(rows)
    for line, row in rows:
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            raise InvalidInput(f"Line {line} of the table has {len(row)} cells, and the header has {width}.")
        yield line, row[:width]


def _samples_in_rows(
    file: CsvFile, header: list[str], places: list[int | None], genes: GeneIndex, wanted: str | None
) -> _Cells:
    column_of: dict[int, int] = {}
    for column, place in enumerate(places):
        if place is not None:
            _check_once(place, column_of, genes)
            column_of[place] = column
    columns = list(column_of.values())
    named = _sample_column(header, places)
    samples: list[str] = []
    numbers: list[list[float]] = []
    lines: list[int] = []
    for count, (line, row) in enumerate(_body(file, len(header)), 1):
        name = str(count) if named is None else _name(row[named])
        if wanted is None or name == wanted:
            samples.append(name)
            numbers.append(_numbers([row[column] for column in columns], file.decimal_comma))
            lines.append(line)
    extra = len(header) - len(columns) - (named is not None)
    array = np.array(numbers).reshape(len(samples), len(columns))
    return _Cells(samples, array, list(column_of), extra, lines, columns, samples_in_rows=True)


def _genes_in_rows(file: CsvFile, header: list[str], genes: GeneIndex, wanted: str | None) -> _Cells:
    names = {at: _name(text) for at, text in enumerate(header) if at > 0 and _key(text) not in GENE_HEADERS}
    columns = [column for column, name in names.items() if wanted is None or name == wanted]
    rows: dict[int, list[float]] = {}
    lines: list[int] = []
    extra = 0
    for line, row in _body(file, len(header)):
        place = genes.find(row[0])
        if place is None:
            extra += 1
            continue
        _check_once(place, rows, genes)
        rows[place] = _numbers([row[column] for column in columns], file.decimal_comma)
        lines.append(line)
    array = np.array(list(rows.values())).reshape(len(rows), len(columns)).T
    samples = [names[column] for column in columns]
    return _Cells(samples, array, list(rows), extra, lines, columns, samples_in_rows=False)


def _sample_column(header: list[str], places: list[int | None]) -> int | None:
    """Return the column of sample names: the first with a header known for it, else the first column unless it is a gene."""
    for column, name in enumerate(header):
        if _key(name) in SAMPLE_HEADERS:
            return column
    return 0 if places[0] is None else None


def _numbers(cells: list[str], decimal_comma: bool) -> list[float]:
    """Return the numbers of a row; NaN for each cell that is none."""
    if decimal_comma:
        cells = [cell.replace(",", ".") for cell in cells]
    try:
        if "_" not in "".join(cells):  # float() reads 1_0 as 10
            return [float(cell) for cell in cells]
    except ValueError:
        pass
    return [_number(cell) for cell in cells]


def _number(cell: str) -> float:
    try:
        return float("nan" if "_" in cell else cell)
    except ValueError:
        return float("nan")


def _as_log2(cells: _Cells, genes: GeneIndex, scale: str, floor: float) -> tuple[FloatArray, str]:
    """Return the numbers as log2, and the unit that they had. Raises InvalidInput for a number that can't be one."""
    numbers = cells.numbers
    if (bad := ~np.isfinite(numbers)).any():
        raise InvalidInput(
            f"{cells.where(bad, genes)} has no finite number.",
            next_step="Leave a gene that was not measured out of the table: its training mean stands in.",
        )
    if scale == AUTO:
        scale = LINEAR if float(np.percentile(numbers, 99)) > LINEAR_ABOVE else LOG2
    if scale == LOG2:
        return numbers, LOG2
    if (bad := numbers < 0).any():
        raise InvalidInput(
            f"{cells.where(bad, genes)} is negative, and the table's values are linear (of log2 values hardly one in a "
            f"hundred passes {LINEAR_ABOVE:.0f}).",
            next_step="Send log2 values, or linear ones from 0. If they are log2, say so with scale=log2.",
        )
    # Tables of log2 values carry no zeros: one is as low as a value of the training table can be.
    return np.log2(np.maximum(numbers, 2.0**floor)), LINEAR


def _missing(places: list[int], genes: GeneIndex) -> tuple[int, ...]:
    """Return the places of the model's genes that were not found. Raises InvalidInput above MOST_MISSING."""
    missing = sorted(set(range(len(genes))) - set(places))
    if len(missing) > MOST_MISSING * len(genes):
        first = ", ".join(genes.genes[place].symbol for place in missing[:5])
        raise InvalidInput(
            f"The table lacks {len(missing):,} of the model's {len(genes):,} genes (among them {first}); "
            f"{MOST_MISSING:.0%} may be missing.",
            next_step="Name genes by symbol (ESR1), Entrez id (2099) or both (ESR1_2099).",
        )
    return tuple(missing)


def _check_samples(samples: list[str], wanted: str | None) -> None:
    if wanted is not None and len(samples) != 1:
        raise InvalidInput(
            "No sample of the table has the name that the job gives."
            if not samples
            else f"{len(samples)} samples of the table have the name that the job gives.",
            next_step="Leave `sample` out to classify all samples of the table.",
        )
    if not samples:
        raise InvalidInput("The table has a header and no samples.", next_step="Send at least one sample.")


def _check_once(place: int, seen: Container[int], genes: GeneIndex) -> None:
    if place in seen:
        raise InvalidInput(
            f"The table has gene {genes.genes[place].symbol} more than once.",
            next_step="Keep one column (or row) of each gene, e.g. their mean.",
        )


def _name(text: str) -> str:
    """Return a sample's name in the form in which names are compared: Korean from a Mac is decomposed."""
    return unicodedata.normalize("NFC", text.strip())


def _key(header: str) -> str:
    return _name(header).lower().replace("_", "").replace(" ", "")
