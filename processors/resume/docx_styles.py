"""Looks of the paragraphs and runs of a DOCX file: size, bold, italic, colour, indent; styles inherit from styles."""

from __future__ import annotations

from dataclasses import dataclass, replace

from docx.document import Document as DocxDocument
from docx.oxml.ns import qn
from docx.oxml.xmlchemy import BaseOxmlElement

from processors.resume.document import Style

_DEFAULT_SIZE = 11.0
_OFF = ("0", "false", "none", "off")
_W_VAL = qn("w:val")


@dataclass(frozen=True, slots=True)
class Look:
    """`indent` and `before` (the distance from the paragraph above) are in points. `item`: has a bullet or a number."""

    style: Style
    indent: float = 0.0
    before: float = 0.0
    item: bool = False


class Styles:
    """Resolves styles by their id, each once."""

    def __init__(self, made: DocxDocument) -> None:
        root = made.styles.element
        self._elements = {element.get(qn("w:styleId")): element for element in root.iterchildren(qn("w:style"))}
        self._looks: dict[str, Look] = {}
        default = Look(Style(size=_DEFAULT_SIZE))
        for path in ("w:docDefaults/w:rPrDefault/w:rPr", "w:docDefaults/w:pPrDefault/w:pPr"):
            for element in root.findall(path, {"w": qn("w:x")[1:-2]}):
                default = _applied(default, element)
        self._default = default
        self._normal = next(
            (
                key
                for key, element in self._elements.items()
                if element.get(qn("w:default")) == "1" and element.get(qn("w:type")) == "paragraph"
            ),
            None,
        )

    def paragraph(self, paragraph: BaseOxmlElement) -> Look:
        """Return the look of a paragraph's text where its runs say nothing else."""
        properties = paragraph.find(qn("w:pPr"))
        named = None if properties is None else _value(properties, "w:pStyle")
        look = self._named(named or self._normal, 0)
        return look if properties is None else _applied(look, properties)

    def run(self, run: BaseOxmlElement, look: Look) -> Style:
        """Return the style of a run in a paragraph of that look."""
        properties = run.find(qn("w:rPr"))
        if properties is None:
            return look.style
        named = _value(properties, "w:rStyle")
        element = self._elements.get(named) if named else None
        for part in () if element is None else element.iterchildren(qn("w:rPr")):
            look = _applied(look, part)
        return _applied(look, properties).style

    def _named(self, name: str | None, depth: int) -> Look:
        element = self._elements.get(name)
        if name is None or element is None or depth > 10:
            return self._default
        if name not in self._looks:
            look = self._named(_value(element, "w:basedOn"), depth + 1)
            for tag in ("w:pPr", "w:rPr"):
                for part in element.iterchildren(qn(tag)):
                    look = _applied(look, part)
            self._looks[name] = replace(look, item=look.item or "List" in name)
        return self._looks[name]


def _applied(look: Look, properties: BaseOxmlElement) -> Look:
    """Return a look with an element's properties (w:rPr or w:pPr) on top."""
    style, indent, before, item = look.style, look.indent, look.before, look.item
    size = _number(_value(properties, "w:sz"))
    if size:
        style = replace(style, size=size / 2)
    if (bold := _switch(properties, "w:b")) is not None:
        style = replace(style, bold=bold)
    if (italic := _switch(properties, "w:i")) is not None:
        style = replace(style, italic=italic)
    colour = _value(properties, "w:color")
    if colour and len(colour) == 6 and all(letter in "0123456789abcdefABCDEF" for letter in colour):
        style = replace(style, colour=int(colour, 16))
    for element in properties.iterchildren(qn("w:ind")):
        indent = _number(element.get(qn("w:left")) or element.get(qn("w:start"))) / 20
    for element in properties.iterchildren(qn("w:spacing")):
        before = _number(element.get(qn("w:before"))) / 20
    for element in properties.iterchildren(qn("w:numPr")):
        item = _value(element, "w:numId") not in (None, "0")
    return Look(style, indent, before, item)


def _value(parent: BaseOxmlElement, tag: str) -> str | None:
    element = parent.find(qn(tag))
    value = None if element is None else element.get(_W_VAL)
    return None if value is None else str(value)


def _switch(parent: BaseOxmlElement, tag: str) -> bool | None:
    element = parent.find(qn(tag))
    return None if element is None else element.get(_W_VAL, "1") not in _OFF


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
