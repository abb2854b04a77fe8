"""Layouts in Word files, by python-docx."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import docx
from docx.enum.text import WD_TAB_ALIGNMENT
from docx.shared import Cm, Pt

from tests.acceptance.resumes.sheet import MAIN, SIDE, Entry, Section, Sheet


def _saved(document: Any) -> bytes:
    out = BytesIO()
    document.save(out)
    return out.getvalue()


def headings(sheet: Sheet) -> bytes:
    """Word's own styles: Title, Heading 1, List Bullet."""
    document = docx.Document()
    document.add_heading(sheet.name, 0)
    document.add_paragraph(sheet.person.label)
    document.add_paragraph(" | ".join(value for _, value in sheet.contact))
    for section in sheet.sections:
        document.add_heading(section.heading, 1)
        for line in section.lines:
            document.add_paragraph(line)
        for entry in section.entries:
            document.add_heading(entry.first, 2)
            document.add_paragraph(f"{entry.second} | {entry.dates}" if entry.second else entry.dates)
            for line in entry.lines:
                document.add_paragraph(line, style="List Bullet")
    return _saved(document)


def tabs(sheet: Sheet) -> bytes:
    """No styles: bold upper-case headings, the dates behind a tab at the right margin, bullets as characters."""
    document = docx.Document()

    def bold(text: str, size: float = 11) -> Any:
        paragraph = document.add_paragraph()
        run = paragraph.add_run(text)
        run.bold, run.font.size = True, Pt(size)
        return paragraph

    bold(sheet.name, 20)
    for label, value in sheet.contact:
        document.add_paragraph(f"{label}: {value}")
    for section in sheet.sections:
        bold(section.heading.upper(), 12)
        for line in section.lines:
            document.add_paragraph(line)
        for entry in section.entries:
            paragraph = bold(f"{entry.first}, {entry.second}" if entry.second else entry.first)
            paragraph.paragraph_format.tab_stops.add_tab_stop(Cm(15), WD_TAB_ALIGNMENT.RIGHT)
            paragraph.add_run(f"\t{entry.dates}")
            for line in entry.lines:
                document.add_paragraph(f"• {line}")
    return _saved(document)


def letterhead(sheet: Sheet) -> bytes:
    """Name and contact in the page's header, text fields with colons, entries as paragraphs with line breaks."""
    document = docx.Document()
    header = document.sections[0].header.paragraphs[0]
    run = header.add_run(sheet.name)
    run.bold, run.font.size = True, Pt(18)
    header.add_run("\n" + "  •  ".join(value for _, value in sheet.contact))
    for section in sheet.sections:
        document.add_paragraph().add_run(section.heading + ":").bold = True
        for line in section.lines:
            document.add_paragraph(line)
        for entry in section.entries:
            paragraph = document.add_paragraph(f"{entry.dates}: ")
            paragraph.add_run(entry.first).bold = True
            if entry.second:
                paragraph.add_run(f" ({entry.second})")
            for line in entry.lines:
                paragraph.add_run().add_break()
                paragraph.add_run(line)
    return _saved(document)


def sidebar(sheet: Sheet) -> bytes:
    """A table of one row without borders: a narrow cell for contact and lists, a wide one for the rest."""
    document = docx.Document()
    left, right = document.add_table(rows=1, cols=2).rows[0].cells
    left.width, right.width = Cm(5), Cm(12)
    left.paragraphs[0].add_run("연락처" if sheet.person.korean else "Contact").bold = True
    for _, value in sheet.contact:
        left.add_paragraph(value)
    for section in sheet.some(*SIDE):
        left.add_paragraph().add_run(section.heading).bold = True
        for line in section.lines:
            left.add_paragraph(line)
        for entry in section.entries:
            left.add_paragraph(f"{entry.first} ({entry.second}), {entry.dates}")
    right.paragraphs[0].add_run(sheet.name).bold = True
    right.paragraphs[0].runs[0].font.size = Pt(20)
    right.add_paragraph(sheet.person.label)
    for section in sheet.some(*MAIN):
        right.add_paragraph().add_run(section.heading).bold = True
        for line in section.lines:
            right.add_paragraph(line)
        for entry in section.entries:
            _entry(right, entry)
    return _saved(document)


def _entry(cell: Any, entry: Entry) -> None:
    cell.add_paragraph().add_run(f"{entry.first} — {entry.second}" if entry.second else entry.first).bold = True
    cell.add_paragraph(entry.dates)
    for line in entry.lines:
        cell.add_paragraph(f"- {line}")


COLUMNS = {
    "experience": ("기간", "회사명", "직위", "담당 업무"),
    "education": ("재학 기간", "학교명", "전공", "학위"),
    "projects": ("기간", "프로젝트", "내용"),
    "certificates": ("취득일", "자격증", "발급기관"),
}


def tables(sheet: Sheet) -> bytes:
    """A Korean form: a table of personal fields, then a table with column names for each section."""
    document = docx.Document()
    document.add_heading("이 력 서", 0)
    _personal(document, sheet)
    for section in sheet.sections:
        document.add_heading(section.heading, 2)
        for line in section.lines:
            document.add_paragraph(line)
        if section.entries:
            _rows(document, section)
    return _saved(document)


def one_table(sheet: Sheet) -> bytes:
    """A Korean form that is one table: the section's name in a merged cell at the left of its rows."""
    document = docx.Document()
    document.add_paragraph().add_run("이력서").bold = True
    table = document.add_table(rows=0, cols=3)
    table.style = "Table Grid"

    def row(one: str, two: str, three: str = "") -> Any:
        cells = table.add_row().cells
        cells[0].text, cells[1].text = one, two
        if three:
            cells[2].text = three
        else:
            cells[1].merge(cells[2])
        return cells[0]

    for label, value in [("성 명", sheet.name), *sheet.contact]:
        row(label, value)
    for section in sheet.sections:
        first = None
        for line in section.lines:
            last = row("" if first else section.heading, line)
            first = first or last
        for entry in section.entries:
            text = f"{entry.first} {entry.second}".strip()
            last = row("" if first else section.heading, entry.dates, "\n".join([text, *entry.lines]))
            first = first or last
        if first is not None and last is not first:
            first.merge(last)
    return _saved(document)


def _personal(document: Any, sheet: Sheet) -> None:
    fields = [("성명", sheet.name), *sheet.contact]
    fields += [("", "")] * (len(fields) % 2)
    table = document.add_table(rows=0, cols=4)
    table.style = "Table Grid"
    for one, two in zip(fields[::2], fields[1::2], strict=True):
        for cell, text in zip(table.add_row().cells, (*one, *two), strict=True):
            cell.text = text


def _rows(document: Any, section: Section) -> None:
    names = COLUMNS[section.kind]
    table = document.add_table(rows=1, cols=len(names))
    table.style = "Table Grid"
    for cell, text in zip(table.rows[0].cells, names, strict=True):
        cell.text = text
    for entry in section.entries:
        for cell, text in zip(table.add_row().cells, entry.cells, strict=True):
            cell.text = text
