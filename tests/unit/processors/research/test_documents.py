"""The folder of documents: what is read, what is left out and named, and how texts are cut into sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.research import documents
from processors.research.documents import DocumentFolder, document_of, sentences_of


def test_a_folder_is_read_by_name_with_its_folders_and_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "나").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.txt", "나/a.md", ".hidden.txt", ".git/c.md", "d.pdf"):
        (tmp_path / name).write_text("A sentence that is long enough.", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    assert [each.name for each in DocumentFolder(tmp_path).read().documents] == ["b.txt", "나/a.md"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_korean_texts_of_windows_are_read(encoding: str) -> None:
    assert document_of("a.txt", "서울은 대한민국의 수도이다.".encode(encoding)).sentences == (
        "서울은 대한민국의 수도이다.",
    )


def test_files_that_are_left_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LARGEST_FILE", 100)
    monkeypatch.setattr(documents, "MOST_DOCUMENTS", 1)
    (tmp_path / "a.txt").write_bytes(b"\xff\xff\xff")
    (tmp_path / "b.txt").write_text("x" * 101)
    (tmp_path / "c.txt").write_text("The only one that is read.")
    (tmp_path / "d.txt").write_text("One too many for this folder.")
    folder = DocumentFolder(tmp_path).read()
    assert [each.name for each in folder.documents] == ["c.txt"]
    assert [note.partition(" ")[0] for note in folder.notes] == ["a.txt", "b.txt", "1"]


def test_a_file_is_read_again_once_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, path = DocumentFolder(tmp_path), tmp_path / "a.txt"
    path.write_text("The first text of this file.")
    before = folder.read().documents[0]
    monkeypatch.setattr(documents, "document_of", None)
    assert folder.read().documents[0] is before
    monkeypatch.undo()
    path.write_text("The second text of this file, longer.")
    assert folder.read().documents[0].sha256 != before.sha256


def test_markdown_gives_its_title_and_its_prose(tmp_path: Path) -> None:
    text = (
        "# Title\n\nA sentence over\ntwo lines. Another one here!\n\n- A point that is made.\n- A second point.\n\n"
        "| a table | has no sentences. |\n\n```\nprint('code is left out, too.')\n```\n## More\nToo short.\n"
    )
    document = document_of("a.md", text.encode())
    assert document.title == "Title"
    assert document.sentences == (
        "A sentence over two lines.",
        "Another one here!",
        "A point that is made.",
        "A second point.",
    )


def test_sentences_end_at_their_marks_and_not_at_an_abbreviation() -> None:
    assert sentences_of('Dr. Kim came, e.g. by train. J. S. Bach stayed at 3.5 km. Why? 그는 "갔다." 그리고 왔다.') == [
        "Dr. Kim came, e.g. by train.",
        "J. S. Bach stayed at 3.5 km.",
        "Why?",
        '그는 "갔다."',
        "그리고 왔다.",
    ]


def test_a_heading_ends_before_the_marks_that_close_it() -> None:
    titles = {"# Fish ##": "Fish", "## C# and F#": "C# and F", "#  a  b \u3000": "a  b", "#none": ""}
    assert {line: document_of("a.md", line.encode()).title for line in titles} == titles


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    """Both lines would take hours if each character were compared with all before it."""
    spaces, initials = "# a" + " " * 20_000 + "b", "A. " * 50_000
    assert document_of("a.md", spaces.encode()).title.startswith("a ")
    assert document_of("a.md", initials.encode()).sentences == ()
