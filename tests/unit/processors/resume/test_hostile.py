"""Files that are no résumé, or meant to hurt: each is refused with a message that says why and quotes nothing of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest

from processors.resume import docx_archive, docx_file, pdf
from processors.resume.docx_archive import open_docx
from processors.resume.docx_file import read_docx
from processors.resume.pdf import read_pdf
from schemas.errors import InvalidInput, JobCancelled, JobError, PayloadTooLarge
from tests.harness.resume_documents import ENCRYPTED, column, korean_form, with_part, write_pdf

PERSON = "Zebedee Quux"


def refused(read: Callable[[Path], object], path: Path, kind: type[JobError] = InvalidInput) -> str:
    with pytest.raises(kind) as caught:
        read(path)
    assert PERSON not in str(caught.value)
    assert path.name not in str(caught.value)
    return str(caught.value)


def test_an_encrypted_pdf(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "r.pdf", [column(40, 60, [PERSON])], ENCRYPTED)
    assert "password" in refused(read_pdf, path)


def test_a_broken_pdf(tmp_path: Path) -> None:
    path = tmp_path / "r.pdf"
    path.write_bytes(b"%PDF-1.4\n" + PERSON.encode() + b"\xff" * 500)
    assert "damaged" in refused(read_pdf, path)


def test_a_pdf_without_text_is_said_to_have_none(tmp_path: Path) -> None:
    assert "no text" in refused(read_pdf, write_pdf(tmp_path / "r.pdf", [[], []]))


def test_a_pdf_of_ten_thousand_pages_is_read_in_part(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "r.pdf", [column(40, 60, ["# Skills", "Patience"])] * 10_000)
    document = read_pdf(path)
    assert document.blocks[-1].page == pdf.MAX_PAGES - 1
    assert document.warnings == [f"The document has 10000 pages; the first {pdf.MAX_PAGES} were read."]


def test_a_page_of_countless_letters_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_CHARACTERS", 50)
    document = read_pdf(write_pdf(tmp_path / "r.pdf", [column(40, 60, ["x" * 40] * 9), column(40, 60, ["y"])]))
    assert document.warnings == ["Only the first 50 characters were read."]
    assert sum(len(line.text) for line in document.lines) <= 50


def test_a_job_past_its_time_limit_stops_between_two_pages(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "r.pdf", [column(40, 60, [PERSON])] * 3)
    asked = iter([False, True])
    with pytest.raises(JobCancelled):
        read_pdf(path, lambda: next(asked))
    with pytest.raises(JobCancelled):
        read_docx(korean_form(tmp_path / "r.docx"), lambda: True)


def test_an_archive_that_inflates_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_part(korean_form(tmp_path / "r.docx"), "word/media/image1.png", b"\0" * (2 << 20))
    monkeypatch.setattr(docx_archive, "MAX_INFLATED", 1 << 20)
    assert path.stat().st_size < 100_000
    assert "inflates to more than 1 MiB" in refused(read_docx, path, PayloadTooLarge)


def test_xml_that_inflates_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_part(korean_form(tmp_path / "r.docx"), "word/document.xml", b"<w>" + b" " * (2 << 20) + b"</w>")
    monkeypatch.setattr(docx_archive, "MAX_XML", 1 << 20)
    assert "inflates to more than 1 MiB" in refused(read_docx, path, PayloadTooLarge)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities(tmp_path: Path, encoding: str) -> None:
    xml = f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "{PERSON}"><!ENTITY b "&a;&a;">]><w>&b;</w>'
    path = with_part(korean_form(tmp_path / "r.docx"), "word/document.xml", xml.encode(encoding))
    assert "entities" in refused(read_docx, path)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "r.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", PERSON)
    assert "no DOCX" in refused(read_docx, path)


@pytest.mark.parametrize("xml", [f"<w>{PERSON}".encode(), b"", f"<w:document>{PERSON}</w:document>".encode()])
def test_a_docx_with_broken_xml(tmp_path: Path, xml: bytes) -> None:
    path = with_part(korean_form(tmp_path / "r.docx"), "word/document.xml", xml)
    assert "damaged" in refused(open_docx, path)


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("word/document.xml", r"<w:body>.*</w:body>", ""),
        ("word/document.xml", r'(<w:headerReference[^>]*r:id=")[^"]*', r"\1rId999"),
        ("word/_rels/document.xml.rels", r'Target="header1.xml"', 'Target="http://h/" TargetMode="External"'),
        ("[Content_Types].xml", r'<Override PartName="/word/header1.xml"[^>]*>', ""),
    ],
)
def test_a_docx_whose_parts_do_not_fit_together(part: str, old: str, new: str, tmp_path: Path) -> None:
    path, made = tmp_path / "r.docx", docx.Document()
    made.add_paragraph(PERSON)
    made.sections[0].header.paragraphs[0].text = PERSON
    made.save(str(path))
    with zipfile.ZipFile(path) as archive:
        xml = archive.read(part).decode()
    assert re.search(old, xml, re.DOTALL)
    assert "damaged" in refused(read_docx, with_part(path, part, re.sub(old, new, xml, flags=re.DOTALL).encode()))


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_docx_with_a_compression_that_the_format_lacks(compression: int, tmp_path: Path) -> None:
    path = tmp_path / "r.docx"
    with zipfile.ZipFile(korean_form(tmp_path / "a.docx")) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert "damaged" in refused(read_docx, path)


def test_a_docx_with_a_part_whose_name_is_no_text(tmp_path: Path) -> None:
    path = with_part(korean_form(tmp_path / "r.docx"), "word/\u00e4.xml", b"<w/>")
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), b"\xff\xff"))
    assert "damaged" in refused(read_docx, path)


def test_a_paragraph_of_countless_lines_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = tmp_path / "r.docx", docx.Document()
    made.add_paragraph("a\n" * 30)
    made.save(str(path))
    monkeypatch.setattr(docx_file, "_MAX_LINES", 10)
    document = read_docx(path)
    assert len(document.lines) == 11
    assert document.warnings == ["Only the first 10 lines were read."]


def test_a_docx_that_was_cut_off(tmp_path: Path) -> None:
    path = korean_form(tmp_path / "r.docx")
    path.write_bytes(path.read_bytes()[:5_000])
    assert "damaged" in refused(read_docx, path)


def test_a_docx_without_text(tmp_path: Path) -> None:
    path = tmp_path / "r.docx"
    docx.Document().save(str(path))
    assert "no text" in refused(read_docx, path)
