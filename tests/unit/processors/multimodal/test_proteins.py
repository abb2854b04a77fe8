"""Protein tables: any usual header, encoding and unit is read; what is ambiguous is refused, and no error quotes a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.multimodal.proteins import Proteins, read_proteins
from schemas.errors import InvalidInput

HEADER = "name,value,unit\n"


def read(tmp_path: Path, table: str | bytes) -> Proteins:
    path = tmp_path / "table.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return read_proteins(path)


@pytest.mark.parametrize(
    ("row", "mg_dl"),
    [
        ("kappa,1.27,mg/dL", 1.27),
        ("kappa,12.7,mg/L", 1.27),
        ("kappa,0.0127,g/L", 1.27),
        ("kappa,12.7, MG/l ", 1.27),
        ("lambda,15,µg/mL", 1.5),
        ("creatinine,0.97,mg/dL", 0.97),
        ("creatinine,88.4,µmol/L", 1.0),  # the micro sign
        ("creatinine,88.4,μmol/L", 1.0),  # the Greek letter
        ("creatinine,88.4,umol/L", 1.0),
        ("creatinine,0.0884,mmol/L", 1.0),
    ],
)
def test_a_value_is_converted_to_mg_dl(tmp_path: Path, row: str, mg_dl: float) -> None:
    (value,) = read(tmp_path, HEADER + row).values.values()
    assert value == pytest.approx(mg_dl, rel=1e-3)


KOREAN = "검사명,결과,단위\n카파,1.2,mg/dL\n람다,1.5,mg/dL\n크레아티닌,0.9,mg/dL\n"


@pytest.mark.parametrize(
    "table",
    [
        pytest.param("\ufeff" + KOREAN, id="a byte order mark"),
        pytest.param(KOREAN.encode("cp949"), id="cp949"),
        pytest.param(KOREAN.encode("utf-16"), id="UTF-16"),
        pytest.param(KOREAN.replace(",", ";"), id="semicolons"),
        pytest.param(KOREAN.replace(",", "\t").replace("\n", "\r\n"), id="tabs and Windows line ends"),
        pytest.param(
            "unit,note,Value,MARKER\n\nmg/dL,,1.2,FLC-kappa\nmg/dL,,1.5,λ\nmg/dL,a,0.9,Creatinine\n", id="columns"
        ),
    ],
)
def test_a_table_is_read_in_any_usual_form(tmp_path: Path, table: str | bytes) -> None:
    assert read(tmp_path, table) == Proteins({"kappa": 1.2, "lambda": 1.5, "creatinine": 0.9}, 0)


def test_rows_may_be_missing_and_others_are_ignored(tmp_path: Path) -> None:
    found = read(tmp_path, HEADER + "CRP,<0.3,mg/L\nGFAP,,\nlambda,1.5,mg/dL\n")
    assert found == Proteins({"lambda": 1.5}, 2)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (HEADER + "kappa,77.125,furlong", "unit of kappa in row 2"),
        (HEADER + "kappa,77.125,", "is missing"),
        (HEADER + "kappa,77.125", "is missing"),
        (HEADER + "kappa,77.125,µmol/L", "is unknown"),  # light chains have no fixed molar mass
        (HEADER + "lambda,1,mg/dL\ncreatinine,-77.125,mg/dL", "creatinine in row 3 .* no positive number"),
        (HEADER + "kappa,nan,mg/dL", "no positive number"),
        (HEADER + "kappa,inf,mg/dL", "no positive number"),
        (HEADER + "kappa,0,mg/dL", "no positive number"),
        (HEADER + "kappa,1e308,g/dL", "no positive number"),  # infinite in mg/dL
        (HEADER + "kappa,1e-323,µg/dL", "no positive number"),  # 0 in mg/dL
        (HEADER + "kappa,<77.125,mg/dL", "no positive number"),
        (HEADER + 'kappa,"77,125",mg/dL', "no positive number"),
        (HEADER + "kappa,77_125,mg/dL", "no positive number"),
        (HEADER + "kappa,1,mg/dL\n카파,77.125,mg/dL", "Row 3 .* kappa a second time"),
        (HEADER + "CRP,77.125,mg/L", "none of kappa, lambda, creatinine"),
        (HEADER + 'kappa,"77.125,mg/dL', "no CSV"),
        ("name,value\nkappa,77.125", "no column unit"),
        ("name,value,result,unit\nkappa,77.125,1,mg/dL", "two columns for the value"),
        ("", "no column name"),
        (b"\xff\x00\x81", "no text"),
    ],
)
def test_a_table_that_could_be_misread_is_refused_without_quoting_it(
    tmp_path: Path, table: str | bytes, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        read(tmp_path, table)
    assert refused.value.next_step
    text = repr(refused.value) + refused.value.message + refused.value.next_step
    assert not {part for part in ("77.125", "77_125", "77,125", "furlong") if part in text}


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="more than"):
        read(tmp_path, HEADER + "x" * (1 << 20))
