"""Reading order of a PDF's page: columns, rows, and what goes on on the next page."""

from __future__ import annotations

from pathlib import Path

from processors.resume.document import Document
from processors.resume.headings import ResumeSection
from processors.resume.pdf import read_pdf
from processors.resume.sections import Sections, sections_of
from tests.harness.resume_documents import Placed, column, write_pdf

SIDE = [
    "# Skills",
    "Welding",
    "Riveting",
    "Forging",
    "# Languages",
    "English",
    "Welsh",
    "# Contact",
    "owen@example.com",
]
MAIN = [
    "# Experience", "Smith, Anvil Works", "2012 - 2019", "Made gates and railings for three parks.", "", "# Education",
    "Cardiff Metropolitan University", "BA Metalwork", "2008 - 2011", "Thesis on the history of hinges.",
]  # fmt: skip


def texts(document: Document) -> list[str]:
    return [line.text for line in document.lines]


def cut(document: Document) -> Sections:
    return sections_of(document, lambda before, after: f"{before} {after}")


def test_two_columns_that_touch_are_not_merged(tmp_path: Path) -> None:
    # The longest line at the left ends 2 points before the second column begins.
    wide = [*SIDE[:2], "Riveting of hulls, tanks and boilers", *SIDE[3:]]
    page = column(40, 60, wide) + column(187, 60, MAIN, leading=14)
    document = read_pdf(write_pdf(tmp_path / "r.pdf", [page]))
    assert texts(document) == [line.lstrip("# ") for line in (*wide, *MAIN) if line]


def test_a_date_at_the_right_margin_stays_with_its_title(tmp_path: Path) -> None:
    page = column(
        40, 60, ["# Experience", "Smith, Anvil Works", "Gates.", "Farrier, Stable Ltd", "Shoes.", "Welder, Docks"]
    )
    page += [(480, 73, 9, False, "2012 - 2019"), (480, 99, 9, False, "2010 - 2012"), (480, 125, 9, False, "2009")]
    document = read_pdf(write_pdf(tmp_path / "r.pdf", [page]))
    assert texts(document)[1::2] == [
        "Smith, Anvil Works 2012 - 2019",
        "Farrier, Stable Ltd 2010 - 2012",
        "Welder, Docks 2009",
    ]


def test_a_column_goes_on_in_its_section_on_the_next_page(tmp_path: Path) -> None:
    first = column(40, 60, SIDE) + column(200, 60, MAIN, leading=14)
    more = ["Honours for the best gate in Wales", "Second place in the same contest a year on", "Third place then"]
    second = column(40, 60, ["owen.example.com", "+44 29 2018 0000", "Cardiff"]) + column(200, 60, more, leading=14)
    found = cut(read_pdf(write_pdf(tmp_path / "r.pdf", [first, second])))
    assert "+44 29 2018 0000" in [line.text for line in found.of(ResumeSection.CONTACT)]
    assert "Third place then" in [line.text for line in found.of(ResumeSection.EDUCATION)]


def test_labels_at_the_left_open_sections_and_stay_with_their_rows(tmp_path: Path) -> None:
    page: list[Placed] = [
        (40, 60, 16, True, "Owen Pryce"),
        (40, 100, 10, True, "Experience"),
        (40, 160, 10, True, "Education"),
    ]
    page += column(150, 100, ["Smith, Anvil Works, 2012 - 2019", "Gates and railings.", "Hinges."])
    page += column(150, 160, ["Cardiff Metropolitan University, 2008 - 2011", "BA Metalwork"])
    found = cut(read_pdf(write_pdf(tmp_path / "r.pdf", [page])))
    assert [line.text for line in found.header] == ["Owen Pryce"]
    assert found.of(ResumeSection.EXPERIENCE)[0].text == "Smith, Anvil Works, 2012 - 2019"
    assert [line.text for line in found.of(ResumeSection.EDUCATION)][-1] == "BA Metalwork"


def test_widely_spaced_letters_are_one_word(tmp_path: Path) -> None:
    page = [(40, 60, 10.0, True, "S K I L L S"), *column(40, 90, ["Welding"])]
    assert [line.text for line in cut(read_pdf(write_pdf(tmp_path / "r.pdf", [page]))).of(ResumeSection.SKILLS)] == [
        "Welding"
    ]


def test_a_page_number_and_a_running_head_are_dropped(tmp_path: Path) -> None:
    head = (40.0, 30.0, 8.0, False, "Owen Pryce, smith")
    pages = [
        [head, *column(40, 60, ["# Skills", "Welding"]), (300, 800, 8, False, "1 / 2")],
        [head, *column(40, 60, ["Riveting", "Forging"]), (300, 800, 8, False, "2 / 2")],
    ]
    found = cut(read_pdf(write_pdf(tmp_path / "r.pdf", pages)))
    assert [line.text for line in found.of(ResumeSection.SKILLS)] == ["Welding", "Riveting", "Forging"]


def test_a_table_with_cells_of_several_lines_stays_a_table(tmp_path: Path) -> None:
    page: list[Placed] = [
        (40, 50, 12, True, "Employment"),
        (40, 70, 9, True, "Period"),
        (40, 84, 9, False, "2012 - 2019"),
    ]
    page += [(140, 70, 9, True, "Company"), (140, 84, 9, False, "Anvil Works"), (300, 70, 9, True, "Duties")]
    page += column(300, 84, ["Gates for parks", "and railings for", "quite a few towns", "in Wales"], leading=11)
    [block] = read_pdf(write_pdf(tmp_path / "r.pdf", [page])).blocks
    assert [cell.text for cell in block.lines[2].cells] == ["2012 - 2019", "Anvil Works", "Gates for parks"]


def test_dates_at_the_right_edge_of_the_left_column_do_not_move_the_second_one(tmp_path: Path) -> None:
    left = ["# Experience", "Smith", "Anvil Works", "Gates.", "Farrier", "Stables", "Shoes.", "# Projects", "Bridge"]
    dates = [(252, 73, "2012-2019"), (260, 112, "2010-12"), (252, 164, "2014-2015")]
    page: list[Placed] = [*column(40, 60, left), *((x, y, 9, False, text) for x, y, text in dates)]
    page += column(312, 66, SIDE)
    document = read_pdf(write_pdf(tmp_path / "r.pdf", [page]))
    assert [line.text for line in document.blocks[0].lines][1] == "Smith 2012-2019"
    assert [line.text for line in document.blocks[1].lines] == [line.lstrip("# ") for line in SIDE]
