"""Reads the spans of a PDF's pages with PDFium: character by character, because gaps and fonts say where fields end."""

from __future__ import annotations

import ctypes
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from processors.resume.document import WORD_GAP, Document, Style, TextRun
from processors.resume.layout import blocks_of
from schemas.errors import InvalidInput, JobCancelled

#: Pages that are read; a résumé of more is read in part, with a warning.
MAX_PAGES = 30
#: Characters that are read of a document; six pages of small print have about 30,000.
MAX_CHARACTERS = 200_000
_BOLD_NAMES = ("bold", "black", "heavy", "semibold", "demi", "extrab")
_ITALIC_FLAG, _FORCE_BOLD_FLAG = 1 << 6, 1 << 18
#: Unicode's private use area: bullets of symbol fonts, and icons.
_PRIVATE = (0xE000, 0xF8FF)
_SPACES = {0x20, 0xA0, 0x3000, 0x09, 0x0A, 0x0D, 0x2002, 0x2003, 0x2009}
_HYPHENS = {0x02, 0xFFFE}
_INVISIBLE = {0x00, 0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF}


@dataclass(slots=True)
class _Character:
    text: str
    style: Style
    x0: float
    x1: float
    y: float


def read_pdf(path: Path, cancelled: Callable[[], bool] = lambda: False) -> Document:
    """Return the text of a PDF in reading order.

    Raises InvalidInput for a file that is encrypted, broken or has no text (a scan), JobCancelled.
    """
    document = Document()
    try:
        pdf = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        raise _unreadable(error) from None
    with pdf:
        pages, left = len(pdf), MAX_CHARACTERS
        if pages > MAX_PAGES:
            document.warnings.append(f"The document has {pages} pages; the first {MAX_PAGES} were read.")
        without_text = 0
        gutters: list[float] = []
        for number in range(min(pages, MAX_PAGES)):
            if cancelled():
                raise JobCancelled("The job was stopped between two pages.")
            spans, links, count = _read_page(pdf, number, left)
            left -= count
            without_text += not spans
            document.blocks += blocks_of(spans, number, gutters)
            document.links += [link for link in links if link not in document.links]
            if left <= 0:
                document.warnings.append(f"Only the first {MAX_CHARACTERS:,} characters were read.")
                break
    if not document.blocks:
        raise InvalidInput(
            "The PDF has no text: its pages are pictures, such as a scan, or empty.",
            next_step="Send a PDF that was saved from a text program, or run text recognition on it first.",
        )
    if without_text:
        document.warnings.append(f"{without_text} pages have no text.")
    return document


def _unreadable(error: pdfium.PdfiumError) -> InvalidInput:
    if getattr(error, "err_code", None) == raw.FPDF_ERR_PASSWORD:
        return InvalidInput("The PDF is protected by a password.", next_step="Send it without a password.")
    return InvalidInput("The PDF is damaged and can't be opened.", next_step="Save or export it again.")


def _read_page(pdf: pdfium.PdfDocument, number: int, most: int) -> tuple[list[TextRun], list[str], int]:
    """Return the spans of a page, its links' addresses, and how many characters it has."""
    try:
        page = pdf[number]
        text = page.get_textpage()
    except pdfium.PdfiumError:
        return [], [], 0
    reader = _PageReader(page, text)
    count = min(text.count_chars(), most)
    return reader.spans(count), list(_links(pdf, page)), count


class _PageReader:
    """Turns a page's characters into spans. Coordinates are turned with the page, so text stands upright."""

    def __init__(self, page: pdfium.PdfPage, text: pdfium.PdfTextPage) -> None:
        self._text = text.raw
        self._left, self._bottom, self._right, self._top = page.get_bbox()
        self._rotation = page.get_rotation()
        self._styles: dict[tuple[int, float], tuple[Style, float]] = {}

    def spans(self, count: int) -> list[TextRun]:
        """Return the spans of the first `count` characters in the order of the file."""
        spans: list[TextRun] = []
        run: list[_Character] = []
        blank = False
        for character in self._characters(count):
            if character is None:
                blank = True
                continue
            if run and not _continues(run[-1], character):
                spans += _cut(run, len(spans))
                run, blank = [], False
            if blank and run:
                run[-1].text += " "
            blank = False
            run.append(character)
        return _mended(spans + _cut(run, len(spans)))

    def _characters(self, count: int) -> Iterator[_Character | None]:
        """Yield the visible characters, and None for a space."""
        box = raw.FS_RECTF()
        x, y = ctypes.c_double(), ctypes.c_double()
        last: tuple[Style, float, float] | None = None
        for index in range(count):
            code = raw.FPDFText_GetUnicode(self._text, index)
            if code in _SPACES:
                # PDFium makes up spaces, also between widely spaced letters; `_cut` knows better.
                if not raw.FPDFText_IsGenerated(self._text, index):
                    yield None
                continue
            if code in _INVISIBLE or not raw.FPDFText_GetLooseCharBox(self._text, index, box):
                continue
            raw.FPDFText_GetCharOrigin(self._text, index, x, y)
            x0, x1, top, bottom = self._turned(box.left, box.right, box.top, box.bottom)
            start, _, baseline, _ = self._turned(x.value, x.value, y.value, y.value)
            if last is not None and bottom - top < 0.5 * last[1] and abs(baseline - last[2]) < 1:
                # A sign from a font without metrics: its box is that of the ink.
                style, slant = last[0], 0.0
            elif bottom - top <= 0.5:
                continue
            else:
                style, slant = self._style(index, bottom - top)
                last = (style, bottom - top, baseline)
            if slant:
                # The box of a slanted letter reaches over its neighbours.
                x0, x1 = start, start + max(x1 - x0 - slant * (bottom - top), 0.0)
            if _PRIVATE[0] <= code <= _PRIVATE[1] and not self._is_symbol(index):
                # A picture from a font of icons.
                continue
            yield _Character(_as_text(code), style, x0, x1, baseline)

    def _is_symbol(self, index: int) -> bool:
        name, flags = ctypes.create_string_buffer(256), ctypes.c_int()
        raw.FPDFText_GetFontInfo(self._text, index, name, 256, flags)
        return any(part in name.value.lower() for part in (b"symbol", b"ding"))

    def _turned(self, left: float, right: float, top: float, bottom: float) -> tuple[float, float, float, float]:
        """Return left, right, top and bottom with the origin at the top left of the page as it is shown."""
        match self._rotation:
            case 90:
                return bottom - self._bottom, top - self._bottom, left - self._left, right - self._left
            case 180:
                return self._right - right, self._right - left, bottom - self._bottom, top - self._bottom
            case 270:
                return self._top - top, self._top - bottom, self._right - right, self._right - left
            case _:
                return left - self._left, right - self._left, self._top - top, self._top - bottom

    def _style(self, index: int, height: float) -> tuple[Style, float]:
        """Return a character's style and how far its text is slanted, as the tangent of the angle."""
        thing = raw.FPDFText_GetTextObject(self._text, index)
        key = (ctypes.cast(thing, ctypes.c_void_p).value or 0, round(height))
        if key not in self._styles:
            self._styles[key] = self._new_style(index, height)
        return self._styles[key]

    def _new_style(self, index: int, height: float) -> tuple[Style, float]:
        name, flags = ctypes.create_string_buffer(256), ctypes.c_int()
        raw.FPDFText_GetFontInfo(self._text, index, name, 256, flags)
        font = name.value.decode("utf-8", "replace").lower()
        red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
        raw.FPDFText_GetFillColor(self._text, index, red, green, blue, alpha)
        matrix = raw.FS_MATRIX()
        raw.FPDFText_GetMatrix(self._text, index, matrix)
        slant = abs(matrix.c / matrix.d) if matrix.d and not self._rotation else 0.0
        style = Style(
            # A line of text is about 1.2 ems high, whatever matrix scales the font.
            size=round(height / 1.2 * 2) / 2,
            bold=any(part in font for part in _BOLD_NAMES) or bool(flags.value & _FORCE_BOLD_FLAG),
            italic="italic" in font or "oblique" in font or bool(flags.value & _ITALIC_FLAG) or 0.1 < slant < 1,
            colour=red.value << 16 | green.value << 8 | blue.value,
        )
        return style, slant if slant < 1 else 0.0


def _as_text(code: int) -> str:
    """Return a character as text: ligatures in letters, icons of symbol fonts as a bullet."""
    if code in _HYPHENS:
        return "-"
    if 0xE000 <= code <= 0xF8FF or code > 0xF0000:
        return "•"
    if 0xFB00 <= code <= 0xFB06 or 0xFF01 <= code <= 0xFF5E or 0x1100 <= code <= 0x11FF or 0x2F00 <= code <= 0x2FDF:
        return unicodedata.normalize("NFKC", chr(code))
    return chr(code)


def _continues(before: _Character, after: _Character) -> bool:
    """True if both are on one line, in one style and close. Letters may be spaced widely; `_cut` looks at that."""
    em = max(before.style.size, after.style.size, 1.0)
    gap = after.x0 - before.x1
    return before.style.is_like(after.style) and abs(before.y - after.y) < 0.3 * em and -0.6 * em < gap < 1.5 * em


def _cut(run: list[_Character], order: int) -> list[TextRun]:
    """Return the spans of a run: it is cut at gaps, which count from the usual distance of its letters."""
    if not run:
        return []
    em = max(run[0].style.size, 1.0)
    gaps = [after.x0 - before.x1 for before, after in pairwise(run)]
    inner = sorted(gap for gap, before in zip(gaps, run, strict=False) if not before.text.endswith(" "))
    usual = max(inner[len(inner) // 2], 0.0) if len(inner) > 2 else 0.0
    spaced = usual > 0.12 * em
    pieces: list[list[_Character]] = [[run[0]]]
    for gap, before, after in zip(gaps, run, run[1:], strict=False):
        if gap - usual > WORD_GAP * em:
            if spaced and gap < 1.2 * em + usual:
                before.text = f"{before.text.rstrip()} "
            else:
                pieces.append([])
        elif gap - usual > (0.25 if spaced else 0.14) * em and not before.text.endswith(" "):
            before.text += " "
        pieces[-1].append(after)
    return [_span(piece, order + place) for place, piece in enumerate(pieces)]


def _span(piece: list[_Character], order: int) -> TextRun:
    text = unicodedata.normalize("NFC", "".join(character.text for character in piece)).strip()
    style = Counter(character.style for character in piece).most_common(1)[0][0]
    return TextRun(text, style, piece[0].x0, max(character.x1 for character in piece), piece[0].y, order)


def _mended(spans: list[TextRun]) -> list[TextRun]:
    """Join spans that are one word: a letter from another font, or a bold initial."""
    made: list[TextRun] = []
    for span in spans:
        last = made[-1] if made else None
        if last is not None and _is_one_word(last, span):
            made[-1] = replace(last, text=last.text + span.text, x1=max(last.x1, span.x1))
        else:
            made.append(replace(span, order=len(made)))
    return made


def _is_one_word(last: TextRun, span: TextRun) -> bool:
    em = max(last.style.size, span.style.size)
    near = abs(last.y - span.y) < 0.2 * em and -0.2 * em < span.x0 - last.x1 < 0.1 * em
    return near and last.text[-1:].isalnum() and span.text[:1].isalnum()


def _links(pdf: pdfium.PdfDocument, page: pdfium.PdfPage) -> Iterator[str]:
    """Yield the addresses behind the links of a page."""
    position, link = ctypes.c_int(0), raw.FPDF_LINK()
    for _ in range(200):
        if not raw.FPDFLink_Enumerate(page.raw, position, link):
            return
        action = raw.FPDFLink_GetAction(link)
        if not action or raw.FPDFAction_GetType(action) != raw.PDFACTION_URI:
            continue
        buffer = ctypes.create_string_buffer(1024)
        if 0 < raw.FPDFAction_GetURIPath(pdf.raw, action, buffer, 1024) <= 1024:
            yield buffer.value.decode("utf-8", "replace")
