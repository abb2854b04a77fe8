"""Reads the text documents of a local folder. Files that can't be used are named in notes, never skipped in silence."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = (".txt", ".md", ".markdown")
#: Bytes of one file, and of all files together. A sentence of Korean takes its analysis about a millisecond.
LARGEST_FILE = 4 << 20
LARGEST_FOLDER = 16 << 20
#: Documents of one run: their names and hashes are kept in its checkpoint.
MOST_DOCUMENTS = 1000
#: Files that one note names.
NAMED = 5

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(\S.*)$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_MARK = re.compile(r"^\s*(?:[-*+]|\d+[.)]|>)\s+")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$")
#: The end of a sentence, its quotes and brackets included, before white space.
_END = re.compile(r"(?<=[.!?。！？…])[\"'”’)\]」』]*\s+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|vs|etc|al|cf|Fig|No|approx|e\.g|i\.e)|\b[A-Z]|(?:^|\s)\d{1,2})\.$"
)
#: Characters before a sentence's end among which an abbreviation is looked for: more than any has.
LONGEST_ABBREVIATION = 16
#: Characters of a sentence that is quoted. Longer ones are rather tables, shorter ones say nothing by themselves.
SHORTEST, LONGEST = 12, 800


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """`name`: path within the folder, with slashes. `title`: the first heading, "" without one. `sha256`: of the file."""

    name: str
    title: str
    sha256: str
    sentences: tuple[str, ...]


@dataclass(slots=True)
class Folder:
    """The documents that were read. `notes`: sentences about files that were not."""

    documents: list[SourceDocument] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class DocumentFolder:
    """Reads a folder again for each run, but no file that did not change since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, tuple[int, int, SourceDocument]] = {}

    def read(self) -> Folder:
        """Return the documents, by name. Files that change or vanish meanwhile are read as they are, or left out."""
        folder, seen, size = Folder(), dict[str, tuple[int, int, SourceDocument]](), 0
        large: list[str] = []
        unread: list[str] = []
        beyond = 0
        for path in sorted(_files(self.path)):
            name = path.relative_to(self.path).as_posix()
            try:
                stat = path.stat()
                if stat.st_size > LARGEST_FILE:
                    large.append(name)
                    continue
                if len(seen) >= MOST_DOCUMENTS or size + stat.st_size > LARGEST_FOLDER:
                    beyond += 1
                    continue
                known = self._known.get(name)
                same = known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size)
                document = known[2] if same and known is not None else document_of(name, path.read_bytes())
            except (OSError, UnicodeDecodeError):
                unread.append(name)
                continue
            seen[name] = (stat.st_mtime_ns, stat.st_size, document)
            size += stat.st_size
        self._known = seen
        folder.documents = [document for _, _, document in seen.values()]
        folder.notes = [
            *_note(unread, "could not be read: they are neither UTF-8 nor CP949, or not readable"),
            *_note(large, f"were left out: they have more than {LARGEST_FILE >> 20} MiB"),
            *([f"{beyond} files were left out: the folder has more than a run searches."] if beyond else []),
        ]
        return folder


def document_of(name: str, content: bytes) -> SourceDocument:
    """Return a document of UTF-8, or of CP949 as Korean Windows writes it. Raises UnicodeDecodeError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp949")
    title, sentences = _parts(text)
    return SourceDocument(name, title, hashlib.sha256(content).hexdigest(), tuple(sentences))


def sentences_of(paragraph: str) -> list[str]:
    """Split a paragraph at the ends of its sentences, not after abbreviations, initials and numbers of lists."""
    sentences: list[str] = []
    begin = 0
    for end in _END.finditer(paragraph):
        if not _ABBREVIATION.search(paragraph[max(begin, end.start() - LONGEST_ABBREVIATION) : end.start()]):
            sentences.append(paragraph[begin : end.end()].strip())
            begin = end.end()
    return [each for each in (*sentences, paragraph[begin:].strip()) if each]


def _parts(text: str) -> tuple[str, list[str]]:
    """Return the first heading and the sentences of a text or of Markdown; no code, no tables, no headings."""
    title, paragraph, sentences, in_code = "", list[str](), list[str](), False

    def close() -> None:
        found = sentences_of(" ".join(paragraph))
        sentences.extend(each for each in found if SHORTEST <= len(each) <= LONGEST)
        paragraph.clear()

    for line in text.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        heading = _HEADING.match(line)
        if heading and not in_code:
            title = title or heading[1].rstrip().rstrip("#").rstrip()[:200]
        if heading or in_code or _FENCE.match(line) or _RULE.match(line) or not line.strip() or "|" in line:
            close()
            continue
        if _MARK.match(line):
            close()
        paragraph.append(" ".join(_MARK.sub("", line, count=1).split()))
    close()
    return title, list(dict.fromkeys(sentences))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the documents below a folder. Hidden files, and links that lead elsewhere, are left out."""
    for where, folders, names in os.walk(folder):  # follows no linked folders
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(where, name)
            if name.lower().endswith(ENDINGS) and not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _note(names: list[str], what: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"{', '.join(names[:NAMED])}{more} {what}."]
