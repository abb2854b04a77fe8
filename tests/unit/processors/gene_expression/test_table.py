"""The reader of tables: every form that people send gives the same values, and every bad cell is refused by gene and line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.gene_expression import csv_file
from processors.gene_expression.genes import Gene, GeneIndex
from processors.gene_expression.table import GeneTable, read_table
from schemas.errors import InvalidInput, PayloadTooLarge
from tests.unit.processors.gene_expression.tables import GENES, Rows, Values, samples_in_rows, transposed, write

SYMBOLS = ["ESR1", "ERBB2", "HLA-F", "C6orf97", "KRT5"]
VALUES = np.array([[8.5, 12.25, 3.0, -1.5, 0.0], [13.0, 15.5, 4.0, 2.5, 7.0]])
NAMES = ["A", "B"]
FLOOR = -8.0


def read(path: Path, genes: GeneIndex = GENES, sample: str | None = None, scale: str = "auto") -> GeneTable:
    return read_table(path, genes, FLOOR, sample, scale)


def read_text(folder: Path, text: str | bytes, sample: str | None = None, scale: str = "auto") -> GeneTable:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, sample=sample, scale=scale)


def rows_of(values: Values = VALUES, genes: list[str] = SYMBOLS) -> Rows:
    return samples_in_rows(NAMES, genes, values)


def many_genes(count: int) -> GeneIndex:
    return GeneIndex([Gene(f"G{n}", str(10_000 + n)) for n in range(count)])


FORMS = (
    lambda gene: gene.symbol,
    lambda gene: gene.symbol.lower(),
    lambda gene: gene.symbol.replace("_", "-"),
    lambda gene: gene.entrez or gene.symbol,
    lambda gene: f"{gene.symbol}|{gene.entrez}" if gene.entrez else gene.symbol,
    lambda gene: f" {gene.symbol}_{gene.entrez} " if gene.entrez else gene.symbol,
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_order_extra_columns_layout_names_separator_and_encoding_change_no_value(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(5)))
    names = [data.draw(st.sampled_from(FORMS))(GENES.genes[place]) for place in order]
    rows = samples_in_rows(["환자 1", '"B", b'], names, VALUES[:, order])
    for number in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(1, len(rows[0])))
        for row, cell in zip(rows, (f"extra{number}", "", "알 수 없음"), strict=True):
            row.insert(at, cell)
    if data.draw(st.booleans()):
        rows = transposed(rows)
    delimiter = data.draw(st.sampled_from(",;\t"))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp949"]))
    with tempfile.TemporaryDirectory() as folder:
        table = read(write(Path(folder) / "t.csv", rows, delimiter, encoding))
    assert table.samples == ("환자 1", '"B", b')
    np.testing.assert_array_equal(table.values, VALUES)
    assert (table.missing, table.scale) == ((), "log2")


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-8, 21), min_size=8, max_size=8), transpose=st.booleans())
def test_linear_values_are_read_as_their_log2(values: list[float], transpose: bool) -> None:
    genes = many_genes(8)
    linear = 2.0 ** np.array([[*values[:-1], 12.0]])
    rows = samples_in_rows(["A"], [gene.symbol for gene in genes.genes], linear)
    with tempfile.TemporaryDirectory() as folder:
        table = read(write(Path(folder) / "t.csv", transposed(rows) if transpose else rows), genes)
    assert table.scale == "linear"
    np.testing.assert_allclose(table.values, [[*values[:-1], 12.0]], atol=1e-9)


def test_a_linear_zero_is_the_lowest_value_of_the_training_table(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", rows_of(np.array([[0.0, 4096, 2, 8, 1024]] * 2))))
    assert table.values[0].tolist() == [FLOOR, 12, 1, 3, 10]


def test_the_field_overrides_the_detected_scale(tmp_path: Path) -> None:
    small = write(tmp_path / "t.csv", rows_of(np.full((2, 5), 16.0)))
    assert read(small).scale == "log2"
    assert read(small, scale="linear").values.max() == 4.0
    large = write(tmp_path / "u.csv", rows_of(np.full((2, 5), 60.0)))
    assert read(large).scale == "linear"
    assert read(large, scale="log2").values.max() == 60.0


def test_a_missing_gene_has_no_value_and_is_counted(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", rows_of(VALUES[:, 1:], SYMBOLS[1:])))
    assert table.missing == (0,)
    assert np.isnan(table.values[:, 0]).all()
    np.testing.assert_array_equal(table.values[:, 1:], VALUES[:, 1:])


def test_a_fifth_of_the_genes_may_be_missing_and_no_more(tmp_path: Path) -> None:
    genes = many_genes(10)
    names = [gene.symbol for gene in genes.genes]
    assert len(read(write(tmp_path / "t.csv", samples_in_rows(["A"], names[:8], np.ones((1, 8)))), genes).missing) == 2
    with pytest.raises(InvalidInput, match=r"lacks 3 of the model's 10 genes \(among them G7, G8, G9\)"):
        read(write(tmp_path / "t.csv", samples_in_rows(["A"], names[:7], np.ones((1, 7)))), genes)


def test_a_table_without_one_known_gene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="none of the model's genes"):
        read_text(tmp_path, "sample,ENSG00000091831\nA,1\n")


@pytest.mark.parametrize("header", ["환자", "표본 번호", "Sample_ID", "검체명"])
def test_a_column_of_sample_names_is_found_by_its_header(header: str, tmp_path: Path) -> None:
    rows = [[row[3], *row[:3], *row[4:]] for row in [[*row[1:4], row[0], *row[4:]] for row in rows_of()]]
    rows[0][0] = header
    moved = [[*row[1:], row[0]] for row in rows]
    assert read(write(tmp_path / "t.csv", moved)).samples == ("A", "B")


def test_samples_without_a_name_are_numbered(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", [row[1:] for row in rows_of()])).samples == ("1", "2")


def test_a_header_without_a_name_for_the_rows_is_read_as_r_writes_it(tmp_path: Path) -> None:
    rows = rows_of()
    rows[0] = rows[0][1:]
    table = read(write(tmp_path / "t.csv", rows))
    assert table.samples == ("A", "B")
    np.testing.assert_array_equal(table.values, VALUES)


def test_descriptions_of_genes_are_no_samples(tmp_path: Path) -> None:
    rows = transposed(rows_of())
    described = [[row[0], note, *row[1:]] for row, note in zip(rows, ["Entrez_Gene_Id", *"12345"], strict=True)]
    assert read(write(tmp_path / "t.csv", described)).samples == ("A", "B")


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    rows = [[cell.replace(".", ",") for cell in row] for row in rows_of()]
    np.testing.assert_array_equal(read(write(tmp_path / "t.csv", rows, ";")).values, VALUES)


@pytest.mark.parametrize("transpose", [False, True])
def test_one_sample_is_chosen_by_its_name_in_any_unicode_form(transpose: bool, tmp_path: Path) -> None:
    rows = samples_in_rows(["김민수", "B"], SYMBOLS, VALUES)
    path = write(tmp_path / "t.csv", transposed(rows) if transpose else rows)
    table = read(path, sample="\u1100\u1175\u11b7\u1106\u1175\u11ab\u1109\u116e")
    assert table.samples == ("김민수",)
    np.testing.assert_array_equal(table.values, VALUES[:1])


@pytest.mark.parametrize("transpose", [False, True])
def test_another_samples_bad_cells_do_not_matter(transpose: bool, tmp_path: Path) -> None:
    rows = rows_of()
    rows[2][1] = "n/a"
    path = write(tmp_path / "t.csv", transposed(rows) if transpose else rows)
    np.testing.assert_array_equal(read(path, sample="A").values, VALUES[:1])


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(("names", "message"), [("AB", "No sample of the table"), ("CC", "2 samples of the table")])
def test_a_sample_that_is_not_there_once_is_refused(names: str, message: str, transpose: bool, tmp_path: Path) -> None:
    rows = samples_in_rows(list(names), SYMBOLS, VALUES)
    with pytest.raises(InvalidInput, match=message) as caught:
        read(write(tmp_path / "t.csv", transposed(rows) if transpose else rows), sample="C")
    assert "'C'" not in str(caught.value)


@pytest.mark.parametrize("cell", ["", "NA", "nan", "inf", "-Infinity", "secret", "1_000", "1,5", "1e999", "0x10"])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_cell_that_is_no_finite_number_is_named_by_gene_and_line_and_never_shown(
    cell: str, transpose: bool, tmp_path: Path
) -> None:
    rows = rows_of()
    rows[2][3] = cell
    where = "line 4, column 3" if transpose else "line 3, column 4"
    with pytest.raises(InvalidInput, match=f"Gene HLA_F in {where} of the table has no finite number") as caught:
        read(write(tmp_path / "t.csv", transposed(rows) if transpose else rows))
    assert "secret" not in str(caught.value)


def test_a_negative_linear_value_is_refused(tmp_path: Path) -> None:
    values = np.array([[300.0, 8000, 5, 90, 1], [300, 8000, -5, 90, 1]])
    with pytest.raises(InvalidInput, match="Gene HLA_F in line 3, column 4 of the table is negative"):
        read(write(tmp_path / "t.csv", rows_of(values)))


@pytest.mark.parametrize("transpose", [False, True])
def test_a_gene_that_is_there_twice_is_refused(transpose: bool, tmp_path: Path) -> None:
    rows = rows_of(VALUES, ["ESR1", "ERBB2", "HLA-F", "2099", "KRT5"])
    with pytest.raises(InvalidInput, match="gene ESR1 more than once"):
        read(write(tmp_path / "t.csv", transposed(rows) if transpose else rows))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", "\ufeff".encode("utf-16-le"), b",,\n"])
def test_an_empty_file_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        read_text(tmp_path, content)


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no samples"):
        read_text(tmp_path, "sample,ESR1,ERBB2,HLA-F,C6orf97,KRT5\n")
    with pytest.raises(InvalidInput, match="no samples"):
        read_text(tmp_path, "gene\nESR1\nERBB2\nHLA-F\nC6orf97\nKRT5\n")


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Line 4 of the table has 3 cells, and the header has 6"):
        read_text(tmp_path, "sample,ESR1,ERBB2,HLA-F,C6orf97,KRT5\nA,1,2,3,4,5\n\nB,1,2\n")


def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    text = 'sample,ESR1,ERBB2,HLA-F,C6orf97,KRT5\n"A,1,2,3,4,5\n' + "B,1,2,3,4,5\n" * 20_000
    with pytest.raises(InvalidInput, match="can't be read as CSV"):
        read_text(tmp_path, text)


def test_bytes_in_no_known_encoding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="neither UTF-8, UTF-16 nor cp949"):
        read_text(tmp_path, b"sample,ESR1\n\xff\xff\xff,1\n")


def test_a_table_beyond_the_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_BYTES", 64)
    with pytest.raises(PayloadTooLarge, match="larger than"):
        read_text(tmp_path, "sample,ESR1\n" * 100)


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="scale"):
        read(write(tmp_path / "t.csv", rows_of()), scale="log10")
