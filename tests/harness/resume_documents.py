"""Résumés for tests, made in memory: PDFs of placed texts, and DOCX files of made-up people."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import docx
from docx.document import Document as DocxDocument

#: x and y in points from the left and the top, size, bold, text.
Placed = tuple[float, float, float, bool, str]

PAGE_HEIGHT = 842
_FONTS = (
    "/F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> "
    "/F2 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"
)


def write_pdf(path: Path, pages: Sequence[Sequence[Placed]], trailer: str = "") -> Path:
    """Write a PDF with the texts of each page, in the order given. `trailer`: further entries of the trailer."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for page in pages:
        stream = "".join(_placed(text) for text in page).encode("cp1252", "replace").decode("latin-1")
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 {PAGE_HEIGHT}] /Contents {len(objects) + 2} 0 R "
            f"/Resources << /Font << {_FONTS} >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    pieces, place, table = ["%PDF-1.4\n"], 9, ""
    for number, text in enumerate(objects, start=1):
        table += f"{place:010} 00000 n \n"
        pieces.append(f"{number} 0 obj\n{text}\nendobj\n")
        place += len(pieces[-1])
    size = len(objects) + 1
    pieces.append(f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n")
    pieces.append(f"startxref\n{place}\n%%EOF\n")
    path.write_bytes("".join(pieces).encode("latin-1"))
    return path


def _placed(text: Placed) -> str:
    x, y, size, bold, letters = text
    escaped = letters.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /F{2 if bold else 1} {size} Tf {x} {PAGE_HEIGHT - y} Td ({escaped}) Tj ET\n"


def column(x: float, top: float, lines: Sequence[str], leading: float = 13, size: float = 9) -> list[Placed]:
    """Return lines below each other; a line that begins with # is a heading, an empty one a gap."""
    return [
        (x, top + leading * place, 12 if line.startswith("#") else size, line.startswith("#"), line.lstrip("# "))
        for place, line in enumerate(lines)
        if line
    ]


ENCRYPTED = f"/ID [<00><00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'28' * 32}> /U <{'17' * 32}> >>"


def korean_form(path: Path) -> Path:
    """Write a Korean résumé as people fill in forms: tables with a head row."""
    made = docx.Document()
    made.add_paragraph("이 력 서")
    _table(made, ["성 명|강보름|연락처|010-1234-9876", "이메일|boreum@example.kr|주소|부산광역시 해운대구"])
    _heading(made, "학력사항")
    _table(made, ["재학기간|학교명|전공|학위", "2009.03 ~ 2013.02|동아대학교|조선공학|학사"])
    _heading(made, "경력사항")
    _table(
        made,
        [
            "근무기간|회사명|직위|담당업무",
            "2016.07 ~ 현재|파랑해운|대리|선박 검사 일정 관리",
            "2013.03 ~ 2016.06|남해중공업|사원|선체 구조 해석",
        ],
    )
    _heading(made, "자격증")
    _table(made, ["자격증명|발급기관|취득일", "조선기사|한국산업인력공단|2012.11"])
    _heading(made, "어학")
    made.add_paragraph("영어 (비즈니스 회화), 일본어 (초급)")
    _heading(made, "보유 기술")
    made.add_paragraph("AutoCAD, ANSYS")
    made.save(str(path))
    return path


def _heading(made: DocxDocument, text: str) -> None:
    made.add_paragraph().add_run(f"■ {text}").bold = True


def _table(made: DocxDocument, rows: Sequence[str]) -> None:
    table = made.add_table(len(rows), rows[0].count("|") + 1, style="Table Grid")
    for number, row in enumerate(rows):
        for place, text in enumerate(row.split("|")):
            table.cell(number, place).text = text


def with_part(path: Path, name: str, content: bytes) -> Path:
    """Replace or add a part of a DOCX file."""
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in (parts | {name: content}).items():
            archive.writestr(part, data)
    return path
