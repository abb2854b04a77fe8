"""Layouts drawn by ReportLab."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from tests.acceptance.resumes.sheet import MAIN, SIDE, Entry, Section, Sheet

REGULAR, BOLD = "Nanum", "NanumBold"


def use_fonts(folder: Path) -> None:
    """Register the fonts of Debian's fonts-nanum, unpacked in `folder`."""
    files = folder / "usr/share/fonts/truetype/nanum"
    pdfmetrics.registerFont(TTFont(REGULAR, str(files / "NanumGothic.ttf")))
    pdfmetrics.registerFont(TTFont(BOLD, str(files / "NanumGothicBold.ttf")))


def _style(size: float = 9.5, bold: bool = False, **more: float) -> ParagraphStyle:
    return ParagraphStyle("s", fontName=BOLD if bold else REGULAR, fontSize=size, leading=size * 1.4, **more)


def _text(text: str, size: float = 9.5, bold: bool = False, **more: float) -> Paragraph:
    return Paragraph(text.replace("&", "&amp;").replace("\n", "<br/>"), _style(size, bold, **more))


def _built(story: list[object]) -> bytes:
    out = BytesIO()
    SimpleDocTemplate(out, pagesize=A4, margins=50, topMargin=50, bottomMargin=50).build(story)
    return out.getvalue()


def single(sheet: Sheet) -> bytes:
    """A single column; organisation and title in one line, the dates below."""
    story: list[object] = [_text(sheet.name, 20, bold=True), Spacer(1, 8), _text(sheet.person.label)]
    story += [_text(f"{label}: {value}") for label, value in sheet.contact]
    for section in sheet.sections:
        story += [Spacer(1, 10), _text(section.heading, 12, bold=True), Spacer(1, 3)]
        story += [_text(line) for line in section.lines]
        for entry in section.entries:
            story.append(_text(f"{entry.first} | {entry.second}" if entry.second else entry.first, bold=True))
            story.append(_text(entry.dates, 8.5))
            story += [_text(f"• {line}", leftIndent=10) for line in entry.lines]
    return _built(story)


def tables(sheet: Sheet) -> bytes:
    """Entries in tables with a row of column names."""
    korean = sheet.person.korean
    columns = {
        "experience": ("기간", "회사", "직책", "업무 내용") if korean else ("Period", "Employer", "Position", "Duties"),
        "education": ("기간", "학교", "전공", "학위") if korean else ("Period", "School", "Field", "Degree"),
        "projects": ("기간", "과제", "내용") if korean else ("Period", "Project", "Description"),
        "certificates": ("취득", "명칭", "기관") if korean else ("Date", "Certificate", "Issued by"),
    }
    widths = {2: (110, 380), 3: (110, 140, 240), 4: (100, 110, 100, 180)}
    story: list[object] = [_text(sheet.name, 18, bold=True), Spacer(1, 6)]
    head = Table([[_text(label, bold=True), _text(value)] for label, value in sheet.contact], colWidths=(110, 380))
    story.append(head)
    for section in sheet.sections:
        story += [Spacer(1, 8), _text(section.heading, 12, bold=True), Spacer(1, 3), *map(_text, section.lines)]
        if section.entries:
            names = columns[section.kind]
            rows = [[_text(name, bold=True) for name in names]]
            rows += [[_text(cell) for cell in entry.cells] for entry in section.entries]
            table = Table(rows, colWidths=widths[len(names)])
            table.setStyle(
                TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")])
            )
            story.append(table)
    return _built(story)


class _Column:
    """Writes lines downwards from the top of a page, wrapped at `width` points."""

    def __init__(self, canvas: Canvas, left: float, top: float, width: float) -> None:
        self.canvas, self.left, self.y, self.width = canvas, left, top, width

    def write(self, text: str, size: float = 9, bold: bool = False, flush: str = "") -> None:
        """`flush`: a text in the same line that ends at the column's right edge."""
        font = BOLD if bold else REGULAR
        rest = self.width - (pdfmetrics.stringWidth(flush, REGULAR, size) + 6 if flush else 0)
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and pdfmetrics.stringWidth(longer, font, size) > rest:
                lines.append(word)
            else:
                lines[-1] = longer
        for place, line in enumerate(lines):
            self.canvas.setFont(font, size)
            self.canvas.drawString(self.left, self.y, line)
            if place == 0 and flush:
                self.canvas.setFont(REGULAR, size)
                self.canvas.drawRightString(self.left + self.width, self.y, flush)
            self.y -= 14

    def section(self, section: Section) -> None:
        self.y -= 14
        self.write(section.heading, 9, bold=True)
        for line in section.lines:
            self.write(line)
        for entry in section.entries:
            self.entry(entry)

    def entry(self, entry: Entry) -> None:
        self.write(entry.first, bold=True, flush=entry.dates)
        if entry.second:
            self.write(entry.second)
        for line in entry.lines:
            self.write(f"- {line}")


def columns(sheet: Sheet, gap: float, left_width: float) -> bytes:
    """Two columns on one grid of lines, `gap` points apart: the dates in the left one end at its right edge."""
    out = BytesIO()
    canvas = Canvas(out, pagesize=A4)
    width, height = A4
    canvas.setFont(BOLD, 18)
    canvas.drawString(40, height - 60, sheet.name)
    canvas.setFont(REGULAR, 9)
    canvas.drawString(40, height - 78, sheet.person.label)
    top = height - 106
    left = _Column(canvas, 40, top, left_width)
    right_at = 40 + left_width + gap
    right = _Column(canvas, right_at, top, width - 40 - right_at)
    main, side = (left, right) if left_width > 250 else (right, left)
    for section in sheet.some(*MAIN):
        main.section(section)
    side.y -= 14
    side.write("연락처" if sheet.person.korean else "Contact", 9, bold=True)
    for _, value in sheet.contact:
        side.write(value)
    for section in sheet.some(*SIDE):
        side.section(section)
    canvas.save()
    return out.getvalue()


def two_columns(sheet: Sheet) -> bytes:
    """A narrow left column and a wide right one with room between them."""
    return columns(sheet, gap=24, left_width=150)


def touching_columns(sheet: Sheet) -> bytes:
    """A wide left column whose dates end where the right column's text begins."""
    return columns(sheet, gap=1, left_width=350)
