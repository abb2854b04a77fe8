"""The processor, from a file to its fields: Korean and English, PDF and DOCX, and a whole flow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import docx
import jsonschema
import pytest
from docx.oxml import parse_xml

from processors.local import claim_of, loaded, run_one
from processors.protocol import Processor
from processors.resume.contract import RESUME, Certificate, Education, ResumeInput, ResumeOutput, SpokenLanguage
from processors.resume.processor import MAX_BYTES, Resume
from schemas.errors import InvalidInput, PayloadTooLarge
from schemas.records import Claim
from streams.testing import Flow
from tests.harness.resume_documents import Placed, column, korean_form, write_pdf
from tests.harness.source_tree import ROOT

SCHEMA = json.loads((ROOT / "docs/contracts/resume.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def processor() -> Resume:
    made = loaded(Resume)
    assert isinstance(made, Resume)
    return made


def fields_of(processor: Resume, path: Path, language: str = "auto") -> ResumeOutput:
    output = run_one(processor, ResumeInput(claim_of(path), language), path.parent)
    assert isinstance(output, ResumeOutput)
    jsonschema.validate(asdict(output), SCHEMA)
    return output


def test_it_is_a_processor(processor: Resume) -> None:
    assert isinstance(processor, Processor)


def test_a_korean_form_with_tables(processor: Resume, tmp_path: Path) -> None:
    output = fields_of(processor, korean_form(tmp_path / "r.docx"))
    assert (output.name, output.email, output.phone) == ("강보름", "boreum@example.kr", "010-1234-9876")
    assert output.language == "ko"
    assert output.education == [Education("동아대학교", "학사", "조선공학", "2009-03", "2013-02")]
    assert [(e.organisation, e.title, e.start, e.end, e.current) for e in output.experience] == [
        ("파랑해운", "대리", "2016-07", None, True),
        ("남해중공업", "사원", "2013-03", "2016-06", False),
    ]
    assert output.experience[0].description == "선박 검사 일정 관리"
    assert output.certificates == [Certificate("조선기사", "한국산업인력공단", "2012-11")]
    assert output.languages == [SpokenLanguage("영어", "비즈니스 회화"), SpokenLanguage("일본어", "초급")]
    assert output.skills == ["AutoCAD", "ANSYS"]


def test_a_list_of_skills_is_no_name(processor: Resume, tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("porter@example.org")
    document.add_heading("Skills", 1)
    document.add_paragraph("Python, Kafka, Celery, Postgres")
    document.save(str(tmp_path / "r.docx"))
    output = fields_of(processor, tmp_path / "r.docx")
    assert (output.name, output.skills) == (None, ["Python", "Kafka", "Celery", "Postgres"])


def english_page() -> list[Placed]:
    side = [
        "# Contact",
        "ines.morel@example.fr",
        "+33 6 12 34 56 78",
        "www.inesmorel.example.fr",
        "",
        "# Skills",
        "Dredging",
        "QGIS",
    ]
    main = [
        "# Profile", "Hydrologist who likes rivers more than models of rivers.", "", "# Work Experience",
        "Senior Hydrologist", "Rivers Trust Ltd, Leeds, UK", "March 2016 - Present", "- Maps of floods in nine towns.",
        "- Gauges that report by radio.", "", "Hydrologist", "Delta Consulting", "June 2012 - February 2016", "- Dikes.", "",
        "# Education", "MSc in Hydrology", "Delft University of Technology", "2010 - 2012", "", "# Projects", "Raindrop",
        "2014", "- An app that counts rain.",
    ]  # fmt: skip
    return [(200, 50, 22, True, "Inès Morel"), *column(40, 90, side), *column(200, 90, main, leading=14)]


def test_an_english_page_in_two_columns(processor: Resume, tmp_path: Path) -> None:
    output = fields_of(processor, write_pdf(tmp_path / "r.pdf", [english_page()]))
    assert (output.name, output.email, output.phone) == ("Inès Morel", "ines.morel@example.fr", "+33 6 12 34 56 78")
    assert output.links == ["www.inesmorel.example.fr"]
    assert output.summary == "Hydrologist who likes rivers more than models of rivers."
    assert output.education == [Education("Delft University of Technology", "MSc", "Hydrology", "2010", "2012")]
    first, second = output.experience
    assert (first.organisation, first.title) == ("Rivers Trust Ltd", "Senior Hydrologist")
    assert (first.start, first.end, first.current) == ("2016-03", None, True)
    assert first.description == "Maps of floods in nine towns.\nGauges that report by radio."
    assert (second.organisation, second.title, second.end) == ("Delta Consulting", "Hydrologist", "2016-02")
    assert [(p.name, p.start, p.description) for p in output.projects] == [
        ("Raindrop", "2014", "An app that counts rain.")
    ]
    assert output.skills == ["Dredging", "QGIS"]


def test_text_boxes_headers_and_footers_of_a_docx_are_read(processor: Resume, tmp_path: Path) -> None:
    made = docx.Document()
    made.sections[0].header.paragraphs[0].text = "Ines Morel"
    made.sections[0].footer.paragraphs[0].text = "ines.morel@example.fr | +33 6 12 34 56 78"
    place = made.add_paragraph()
    made.add_heading("Education", 1)
    made.add_paragraph("Delft University of Technology, MSc in Hydrology, 2010 - 2012")
    word, box = "http://schemas.openxmlformats.org/wordprocessingml/2006/main", "urn:schemas-microsoft-com:vml"
    content = "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>Skills</w:t></w:r></w:p>"
    content += "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in ("Dredging", "QGIS"))
    place._p.append(
        parse_xml(
            f'<w:r xmlns:w="{word}" xmlns:v="{box}"><w:pict><v:shape><v:textbox><w:txbxContent>{content}'
            "</w:txbxContent></v:textbox></v:shape></w:pict></w:r>"
        )
    )
    made.save(str(tmp_path / "r.docx"))
    output = fields_of(processor, tmp_path / "r.docx")
    assert (output.name, output.email, output.phone) == ("Ines Morel", "ines.morel@example.fr", "+33 6 12 34 56 78")
    assert output.skills == ["Dredging", "QGIS"]
    assert [(e.institution, e.degree) for e in output.education] == [("Delft University of Technology", "MSc")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n", "PNG picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
        (b"just some words", "neither PDF nor DOCX"),
    ],
)
def test_another_kind_of_file_is_refused_whatever_its_name(
    processor: Resume, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "r.pdf"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        fields_of(processor, path)


def test_an_unknown_language_and_a_huge_file_are_refused(processor: Resume, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="auto, ko, en"):
        fields_of(processor, korean_form(tmp_path / "r.docx"), language="latin")
    with pytest.raises(PayloadTooLarge):
        run_one(processor, ResumeInput(Claim("file:///nowhere", "0" * 64, MAX_BYTES + 1)), tmp_path)


def test_a_job_completes_with_fields_that_go_into_jsonb(tmp_path: Path) -> None:
    with Flow(Resume, contract=RESUME) as flow:
        job_id = flow.submit("resume", ResumeInput(flow.upload(write_pdf(tmp_path / "r.pdf", [english_page()]))))
        scan = flow.submit("resume", ResumeInput(flow.upload(write_pdf(tmp_path / "s.pdf", [[]]))))
        flow.settle()
        output, error = flow.job(job_id).output, flow.job(scan).error
    jsonschema.validate(output, SCHEMA)
    assert output["experience"][0]["organisation"] == "Rivers Trust Ltd"
    assert error is not None
    assert (error.code, "no text" in error.message) == ("INVALID_INPUT", True)
