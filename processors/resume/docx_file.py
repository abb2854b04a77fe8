"""Reads the lines of a DOCX file: paragraphs, tables, text boxes, headers and footers.

A DOCX file has no coordinates. Places are made up so that the same rules work as for a PDF: a tab and a table's column are a
wide gap, an empty paragraph is a large distance, a text box is a column of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from docx.document import Document as DocxDocument
from docx.oxml.ns import qn
from docx.oxml.xmlchemy import BaseOxmlElement

from processors.resume.document import Block, Document, Line, Style, TextRun
from processors.resume.docx_archive import malformed_is_damaged, open_docx
from processors.resume.docx_styles import Look, Styles
from processors.resume.headings import heading_of
from schemas.errors import InvalidInput, JobCancelled

#: Points from column to column where a table has no widths, and of the page.
_COLUMN, _WIDTH = 160.0, 480.0
#: Text boxes stand right of the page, so no column of the body is continued by them.
_BOX = 2_000.0
_MAX_LINES = 6_000
_LINE_HEIGHT = 1.3
_P, _TBL, _TR, _TC, _SDT, _R, _T = (qn(f"w:{name}") for name in ("p", "tbl", "tr", "tc", "sdt", "r", "t"))
_BOX_CONTENT, _DELETED = qn("w:txbxContent"), qn("w:del")
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
#: Elements of a run that are not text, and the characters that stand for them.
_MARKS = {
    qn("w:tab"): "\t",
    qn("w:ptab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
    qn("w:sym"): "•",
}
_READ = {*_MARKS, _T}
#: Three spaces are used like a tab.
_PIECES = re.compile(r"(\n|\t|[ \u3000]{3,})")


def read_docx(path: Path, cancelled: Callable[[], bool] = lambda: False) -> Document:
    """Return the text of a DOCX file in reading order. Raises what `open_docx` raises, and InvalidInput if it has no text."""
    made = open_docx(path)
    with malformed_is_damaged():  # python-docx opens headers and footers when they are asked for
        reader = _DocxReader(made, cancelled)
        document = Document(blocks=reader.blocks(), links=list(_addresses(made)))
    if not document.blocks:
        raise InvalidInput(
            "The DOCX file has no text: it is empty, or its text is in a picture.",
            next_step="Send a document whose text can be selected.",
        )
    if reader.count > _MAX_LINES:
        document.warnings.append(f"Only the first {_MAX_LINES:,} lines were read.")
    return document


def _addresses(made: DocxDocument) -> Iterator[str]:
    for relation in made.part.rels.values():
        if relation.is_external and relation.reltype.endswith("/hyperlink"):
            yield relation.target_ref


class _DocxReader:
    """Walks through a document's elements. `count`: lines read so far."""

    def __init__(self, made: DocxDocument, cancelled: Callable[[], bool]) -> None:
        self._made, self._cancelled = made, cancelled
        self._styles = Styles(made)
        self._blocks: list[Block] = []
        self._boxes = 0
        self._y, self._above = 0.0, -100.0
        self.count = 0

    def blocks(self) -> list[Block]:
        headers: list[BaseOxmlElement] = []
        footers: list[BaseOxmlElement] = []
        for section in self._made.sections:
            for part, found in (
                (section.header, headers),
                (section.first_page_header, headers),
                (section.footer, footers),
            ):
                if not part.is_linked_to_previous:
                    found.append(part._element)
        for element in (*headers, self._made.element.body):
            self._emit(self._flow(element, 0.0, _WIDTH))
        for element in footers:
            # A column of its own: the last section must not go on in it.
            self._emit(self._flow(element, _BOX, _BOX + _WIDTH), _BOX, _BOX + _WIDTH, alone=True)
        return self._blocks

    def _emit(self, lines: list[Line], left: float = 0.0, right: float = _WIDTH, *, alone: bool = False) -> None:
        if lines:
            self._blocks.append(Block(tuple(lines), 0, left, right, alone))

    def _flow(self, parent: BaseOxmlElement, left: float, right: float) -> list[Line]:
        """Return the lines of the paragraphs and tables within an element. Blocks of their own are emitted on the way."""
        lines: list[Line] = []
        for child in parent:
            if self.count > _MAX_LINES:
                break
            if child.tag == _P:
                for box in _boxes_of(child):
                    self._emit_box(box)
                lines += self._paragraph(child, left, right)
            elif child.tag == _TBL:
                rows = [_cells_of(row) for row in child.iterchildren(_TR)]
                if _is_layout(rows):
                    self._emit(lines, left, right)
                    lines = []
                    self._columns(rows)
                else:
                    lines += self._table(rows, left, right)
            elif child.tag == _SDT:
                for content in child.iterchildren(qn("w:sdtContent")):
                    lines += self._flow(content, left, right)
        return lines

    def _emit_box(self, box: BaseOxmlElement) -> None:
        self._boxes += 1
        left = _BOX + self._boxes * _WIDTH
        self._emit(self._flow(box, left, left + _WIDTH), left, left + _WIDTH, alone=True)

    def _columns(self, rows: list[list[BaseOxmlElement]]) -> None:
        """Emit a table that only places text: column by column."""
        for place in range(max(map(len, rows))):
            left = place * _COLUMN
            column = [row[place] for row in rows if place < len(row)]
            for cell in column:
                self._emit(self._flow(cell, left, left + _COLUMN), left, left + _COLUMN, alone=True)

    def _table(self, rows: list[list[BaseOxmlElement]], left: float, right: float) -> list[Line]:
        """Return the rows of a table: the first lines of its cells side by side, then the second ones."""
        columns = max((sum(map(_grid_span, row)) for row in rows), default=1)
        width = (right - left) / max(columns, 1)
        lines: list[Line] = []
        for row in rows:
            texts, place = [], 0
            for cell in row:
                start = left + place * width
                texts.append(self._flow(cell, start, start + width))
                place += _grid_span(cell)
            for number in range(max(map(len, texts), default=0)):
                side = [text[number] for text in texts if number < len(text)]
                spans = tuple(span for line in side for span in line.spans)
                item, gap = side[0].item and len(side) == 1, _LINE_HEIGHT if number else 2 * _LINE_HEIGHT
                lines.append(Line(spans, 0, left, right, gap, item))
        return lines

    def _paragraph(self, paragraph: BaseOxmlElement, left: float, right: float) -> list[Line]:
        """Return the lines of a paragraph; line breaks within it make several."""
        if self._cancelled():
            raise JobCancelled("The job was stopped between two paragraphs.")
        look = self._styles.paragraph(paragraph)
        self._y += look.before
        start = left + look.indent
        lines: list[Line] = []
        spans: list[TextRun] = []
        x = start
        for text, style in (*self._pieces(paragraph, look), ("\n", look.style)):
            if text == "\n":
                if spans and self.count <= _MAX_LINES:
                    lines.append(self._line(spans, left, right, item=look.item and not lines))
                self._y += _LINE_HEIGHT * style.size
                spans, x = [], start
            elif text == "\t":
                x += 2.5 * style.size
            else:
                # Narrow on purpose: real widths are unknown, and the next column must not be reached.
                end = x + 0.01 * style.size * len(text)
                spans.append(TextRun(text, style, x, end, self._y, self.count))
                x = end
        return lines

    def _line(self, spans: list[TextRun], left: float, right: float, *, item: bool) -> Line:
        self.count += 1
        gap = (self._y - self._above) / max(spans[0].style.size, 1.0)
        self._above = self._y
        return Line(tuple(spans), 0, left, right, gap, item)

    def _pieces(self, paragraph: BaseOxmlElement, look: Look) -> Iterator[tuple[str, Style]]:
        """Yield the texts of a paragraph with their styles; `\\n` and `\\t` come alone."""
        for run in _runs_of(paragraph):
            style = self._styles.run(run, look)
            text = "".join(_MARKS.get(child.tag) or child.text or "" for child in run if child.tag in _READ)
            for piece in _PIECES.split(unicodedata.normalize("NFC", text)):
                if piece:
                    yield ("\t" if piece.isspace() and len(piece) > 2 else piece), style


def _runs_of(paragraph: BaseOxmlElement) -> Iterator[BaseOxmlElement]:
    """Yield the runs of a paragraph, those of links and fields among them, but not those of its text boxes."""
    for child in paragraph:
        if child.tag == _R:
            yield child
        elif child.tag not in (_DELETED, _P):
            yield from _runs_of(child)


def _boxes_of(paragraph: BaseOxmlElement) -> Iterator[BaseOxmlElement]:
    """Yield a paragraph's text boxes. Each is there twice, for newer and for older programs; the older form is skipped."""
    for box in paragraph.iter(_BOX_CONTENT):
        if not any(parent.tag in (_FALLBACK, _BOX_CONTENT) for parent in box.iterancestors()):
            yield box


def _cells_of(row: BaseOxmlElement) -> list[BaseOxmlElement]:
    return [
        cell
        for child in row
        for cell in ([child] if child.tag == _TC else child.iter(_TC) if child.tag == _SDT else [])
    ]


def _grid_span(cell: BaseOxmlElement) -> int:
    """Return how many columns a cell takes."""
    element = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
    text = "" if element is None else element.get(qn("w:val"), "")
    return min(int(text), 60) if text.isdecimal() and text != "0" else 1


def _is_layout(rows: list[list[BaseOxmlElement]]) -> bool:
    """True for a table that places columns of text side by side: its cells have headings and paragraphs of their own."""
    headed = set()
    for row in rows:
        for place, cell in enumerate(row):
            texts = [
                text for paragraph in cell.iter(_P) if (text := "".join(node.text or "" for node in paragraph.iter(_T)))
            ]
            if len(texts) >= 3 and any(heading_of(text) is not None for text in texts):
                headed.add(place)
    return len(headed) >= 2 or (len(headed) == 1 and len(rows) <= 2 and max(map(len, rows)) >= 2)
