"""Cuts a document into sections at its headings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from processors.resume.document import Block, Document, Line, Style
from processors.resume.headings import ResumeSection, heading_of
from processors.resume.parts import roles_of
from processors.resume.tables import rows_joined
from processors.resume.text import Glue, unwrapped

_PAGE_NUMBER = re.compile(
    r"^(?:page|p\.)?\s*[-–]?\s*\d{1,2}\s*(?:(?:of|/)\s*\d{1,2})?\s*[-–]?$|^\d{1,2}\s*쪽$", re.IGNORECASE
)


#: Size, bold, italic, colour, capitals.
_Look = tuple[float, bool, bool, int, bool]


@dataclass(slots=True)
class Sections:
    """`header`: lines before the first heading, in which name and contact stand. `found`: lines by section; several headings of
    one section are joined."""

    header: list[Line] = field(default_factory=list)
    found: dict[ResumeSection, list[Line]] = field(default_factory=lambda: defaultdict(list))
    #: Short lines under headings of other words than the vocabulary's: skills by topic, in a document without that section.
    unnamed: list[Line] = field(default_factory=list)

    def of(self, section: ResumeSection) -> list[Line]:
        """Return the lines of a section; empty if the document has none."""
        return self.found.get(section, [])


def sections_of(document: Document, glue: Glue) -> Sections:
    """Return the document's lines by section.

    A column that goes on on the next page, or below a wider block, goes on in its section.
    """
    made = Sections()
    blocks = [_without_page_numbers(block) for block in document.blocks]
    repeated = _repeated(blocks)
    looks = _heading_looks(blocks)
    ends: list[tuple[Block, ResumeSection | None]] = []
    for block in blocks:
        section = _continued(block, ends)
        named, unnamed = _named_looks(block, looks), False
        for line in block.lines:
            if (line.page > 0 and line.text in repeated) or not re.search(r"\w", line.text):
                continue
            section, rest = _opened(line, section, looks)
            if rest is None:
                unnamed = False
            elif _look(line.style, line.text) in named and section is not None and len(line.text.split()) <= 4:
                section, unnamed = ResumeSection.OTHER, True
            elif unnamed and len(line.text.split()) <= 6:
                made.unnamed.append(rest)
            else:
                (made.header if section is None else made.found[section]).append(rest)
        ends.append((block, section))
    made.header = unwrapped(made.header, glue)
    for kind, lines in made.found.items():
        made.found[kind] = rows_joined(unwrapped(lines, glue), glue)
    return made


def _opened(line: Line, section: ResumeSection | None, looks: set[_Look]) -> tuple[ResumeSection | None, Line | None]:
    """Return the section that holds after a line, and what of the line belongs to it; None: nothing, it is a heading."""
    cells = line.cells
    kind = heading_of(line.text) if _look(line.style, line.text) in looks else None
    if kind is not None:
        return kind, None
    first = heading_of(cells[0].text) if len(cells) > 1 and not _is_table_head(line) else None
    if first is None or _look(cells[0].style, cells[0].text) not in looks:
        return section, line
    spans = tuple(span for cell in cells[1:] for span in cell.spans)
    return first, replace(line, spans=spans)


def _is_table_head(line: Line) -> bool:
    cells = line.cells
    return len(cells) > 1 and sum(bool(roles_of(cell.text)) for cell in cells) >= len(cells) - 1 and len(cells) > 2


def _look(style: Style, text: str) -> _Look:
    return (style.size, style.bold, style.italic, style.colour, text.isupper() and len(text) > 3)


def _heading_looks(blocks: Sequence[Block]) -> set[_Look]:
    """Return the looks in which headings are written.

    Words such as `Projects` or `Skills` also stand within entries, as labels. Headings have the look in which most sections are
    named. A column without any heading in that look, such as a dark one at the side, has a look of its own.
    """
    tallies = [_tally(block) for block in blocks]
    whole = _Tally()
    for tally in tallies:
        whole.add(tally)
    if not whole.kinds:
        return set()
    best = whole.best()
    looks = {best}
    for tally in tallies:
        if tally.kinds and best not in tally.kinds:
            own = tally.best()
            if len(tally.kinds[own]) > 1 or whole.headings[own] >= 0.5 * whole.lines[own]:
                looks.add(own)
    return looks | {
        look
        for look in whole.kinds
        if _weight(look) > _weight(best) and whole.headings[look] >= 0.5 * whole.lines[look]
    }


def _named_looks(block: Block, looks: set[_Look]) -> set[_Look]:
    """Return the looks in which little but headings is written in a column at the side: another text is a heading, too."""
    tally = _tally(block)
    if any(kinds & _CORE for kinds in tally.kinds.values()):
        return set()
    return {look for look in looks if tally.headings[look] >= 2 and tally.headings[look] >= 0.5 * tally.lines[look]}


_CORE = {ResumeSection.EXPERIENCE, ResumeSection.EDUCATION, ResumeSection.PROJECTS}


@dataclass(slots=True)
class _Tally:
    """By look: the sections named in it, how many headings it has, how many lines."""

    kinds: dict[_Look, set[ResumeSection]] = field(default_factory=lambda: defaultdict(set))
    headings: Counter[_Look] = field(default_factory=Counter)
    lines: Counter[_Look] = field(default_factory=Counter)

    def add(self, other: _Tally) -> None:
        for look, kinds in other.kinds.items():
            self.kinds[look] |= kinds
        self.headings += other.headings
        self.lines += other.lines

    def best(self) -> _Look:
        """Return the look with the most sections; of several the one that stands out most."""
        return max(self.kinds, key=lambda look: (len(self.kinds[look]), _weight(look)))


def _tally(block: Block) -> _Tally:
    tally = _Tally()
    for line in block.lines:
        cells = line.cells
        kind, style, text = heading_of(line.text), line.style, line.text
        if kind is None and not _is_table_head(line):
            kind, style, text = heading_of(cells[0].text), cells[0].style, cells[0].text
        if kind is not None:
            tally.kinds[_look(style, text)].add(kind)
            tally.headings[_look(style, text)] += 1
        tally.lines[_look(cells[0].style, cells[0].text)] += 1
    return tally


def _weight(look: _Look) -> float:
    """Return how much a look stands out."""
    size, bold, _, _, upper = look
    return size + (1.2 if bold else 0.0) + (1.0 if upper else 0.0)


def _continued(block: Block, ends: Sequence[tuple[Block, ResumeSection | None]]) -> ResumeSection | None:
    """Return the section that was open above the block on its page, else at the foot of the column before.

    Two columns of one width are read like a newspaper: the second goes on where the first ends. A narrow column at the side
    stands for itself, and goes on on the next page.
    """
    if not ends:
        return None
    last, section = ends[-1]
    for before, open_ in reversed(ends):
        if before.page == block.page and _overlap(block, before) > 0:
            return open_
    side = last.page == block.page
    if side and _same_width(last, block) and not (last.alone or block.alone):
        return section
    before_it = [before.page for before, _ in ends if before.page < block.page]
    if not before_it:
        return None
    there = [(before, open_) for before, open_ in ends if before.page == max(before_it)]
    if not side and len(there) > 1 and _same_width(there[-1][0], there[-2][0]) and _same_width(last, block):
        return section
    feet = [
        (_overlap(block, before), open_)
        for place, (before, open_) in enumerate(there)
        if _overlap(block, before) > 0 and not any(_overlap(before, after) > 0 for after, _ in there[place + 1 :])
    ]
    return max(feet, key=lambda foot: foot[0])[1] if feet else there[-1][1]


def _same_width(one: Block, other: Block) -> bool:
    widths = sorted((one.right - one.left, other.right - other.left))
    return (widths[0] > 0.8 * widths[1] and _overlap(one, other) == 0) or one.left == other.left


def _overlap(one: Block, other: Block) -> float:
    """Return the width that two blocks share; 0 if it is less than half of the narrower one."""
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared if shared > 0.5 * min(one.right - one.left, other.right - other.left) else 0.0


def _without_page_numbers(block: Block) -> Block:
    lines = list(block.lines)
    while (
        lines
        and _PAGE_NUMBER.match(lines[-1].text)
        and len(lines[-1].text) < 14
        and not re.match(r"\d{4}$", lines[-1].text)
    ):
        lines.pop()
    return replace(block, lines=tuple(lines))


def _repeated(blocks: Sequence[Block]) -> set[str]:
    """Return texts at the top or bottom of several pages: running heads."""
    edges: dict[str, set[int]] = defaultdict(set)
    for block in blocks:
        for line in (*block.lines[:2], *block.lines[-2:]):
            edges[line.text].add(line.page)
    return {text for text, pages in edges.items() if len(pages) > 1}
