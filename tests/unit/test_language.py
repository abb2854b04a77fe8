"""The code speaks the field's terms in plain English: what docs/glossary.md says of names, held by a test."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = ("schemas", "processors", "connectors", "streams", "bench", "tests")
#: Distributions and programs of their own: their names may be those of other rooms.
ASIDE = ("clients/python/sluice_client", "examples")
#: In no docstring, comment, message or identifier.
WORDS = {"told", "owed", "anew", "nobody", "somebody", "whoever"}
#: Uses of these words that are names: of the system user that Postgres runs as.
NAMES = {("streams/stack/postgres.py", '"nobody"')}
#: Private metaphors of earlier versions, in no identifier, and the term that stands for each.
IDENTIFIERS = {
    "ledger": "in_flight",
    "desk": "cancellations, duty",
    "ear": "messages",
    "heart": "keeper",
    "grip": "lease",
    "grips": "leases",
    "workshop": "job_runner, context",
    "shop": "job_runner, context",
    "judge": "decide, evaluate",
    "judged": "decided",
    "verdict": "error_code, result",
    "verdicts": "engine_results",
    "sentence": "reject",
    "courier": "dispatcher",
    "vitals": "health",
    "pulse": "loop_health",
    "handover": "quarantine, handoff",
    "takeover": "committed_state",
    "wear": "recycle_policy",
    "outlet": "channel",
    "mailbox": "pending_cancels",
    "deaths": "crashes",
    "losses": "crashes",
    "asker": "requester",
    "verb": "command",
    "verbs": "commands",
}
#: Docstrings start with the subject or the verb, never with these.
OPENINGS = ("What", "Who", "Whether", "Those", "These", "They", "It", "One", "As", "Until")


def files(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def words_of(identifier: str) -> list[str]:
    """The words of snake_case and CamelCase, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)


@pytest.mark.parametrize("room", [*TOP, *ASIDE])
def test_no_docstring_opens_with_a_relative_or_a_pronoun(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {text.splitlines()[0]}"
        for path in files(room)
        for line, text in docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if re.split(r"\W", text, maxsplit=1)[0] in OPENINGS
    ]
    assert wrong == []


@pytest.mark.parametrize("room", [*TOP, *ASIDE])
def test_identifiers_are_the_terms_of_the_field(room: str) -> None:
    forbidden = IDENTIFIERS.keys() | WORDS
    wrong = [
        f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}"
        for path in files(room)
        for token in tokens(path)
        if token.type == tokenize.NAME and forbidden & set(words_of(token.string))
    ]
    assert wrong == []


@pytest.mark.parametrize("room", [*TOP, *ASIDE])
def test_comments_and_texts_avoid_words_that_must_be_read_twice(room: str) -> None:
    pattern = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{token.start[0]} {found.group(0)}"
        for path in files(room)
        for token in tokens(path)
        if token.type in (tokenize.COMMENT, tokenize.STRING)
        and (found := pattern.search(token.string))
        and (str(path.relative_to(ROOT)), token.string) not in NAMES
    ]
    assert path_of_this_test_is_exempt(wrong) == []


def test_documents_avoid_words_that_must_be_read_twice() -> None:
    """The changelog may name what was renamed, so it is exempt."""
    pattern = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {found.group(0)}"
        for path in [
            ROOT / "README.md",
            *(path for room in ("bench", "clients", "docs", "processors") for path in (ROOT / room).rglob("*.md")),
        ]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := pattern.search(line))
    ]
    assert wrong == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = [re.sub("[^a-z ]", "", term.lower()) for term in re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)]
    assert len(terms) > 100
    assert terms == sorted(terms)


def path_of_this_test_is_exempt(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("tests/unit/test_language.py")]


def test_a_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for room in TOP[:-1]:
        for path in files(room):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
