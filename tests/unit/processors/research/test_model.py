"""Research with a language model behind a server: its parts of a run, and the extractive report when it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processors.local import LocalJobContext, LocalLoadContext, run_one
from processors.research.contract import ResearchInput, ResearchOutput
from processors.research.processor import Research
from processors.research.run import METHOD
from tests.harness.language_server import Behaviour, FakeLanguageServer, dying, failing, serving_language, speaking

QUERY = "How is bread baked?"
PLAN = speaking(json.dumps({"questions": ["What is bread made from?"]}))
NOTE = speaking("From flour ", "and water [1].")
REPORT = speaking("Bread is baked ", "from flour and water [1].")
WHOLE = (PLAN, NOTE, NOTE, REPORT)


@pytest.fixture
def server() -> Iterator[FakeLanguageServer]:
    with serving_language() as server:
        yield server


@pytest.fixture
def research(server: FakeLanguageServer, tmp_path: Path) -> Research:
    (tmp_path / "bread.txt").write_text("Bread is baked from flour, water and yeast. The oven has to be hot.")
    made = Research()
    made.load(LocalLoadContext(Research, options=server.options(RESEARCH_DOCUMENTS=str(tmp_path), LLM_TIMEOUT_S="20")))
    return made


def asked(research: Research, context: LocalJobContext | None = None, query: str = QUERY) -> ResearchOutput:
    found = run_one(research, ResearchInput(query), Path(), context or LocalJobContext(Path()))
    assert isinstance(found, ResearchOutput)
    return found


def test_the_model_writes_and_the_sources_are_those_that_were_searched(
    research: Research, server: FakeLanguageServer
) -> None:
    server.does(*WHOLE)
    context = LocalJobContext(Path())
    made = asked(research, context)
    assert (made.source, made.model, made.fallback_reason) == ("llm", "fake-model", None)
    assert "_Written by the language model fake-model._\n\nBread is baked from flour and water [1].\n" in made.report
    assert [each.name for each in made.sources] == ["bread.txt"]
    assert "".join(context.texts) == "Bread is baked from flour and water [1]."
    plan, note, _, report = ([each["content"] for each in body["messages"]] for body in server.bodies)
    assert QUERY in plan[1]
    assert "[1] Bread is baked from flour, water and yeast." in note[1]
    assert "From flour and water [1]." in report[1]


@pytest.mark.parametrize("failed", range(len(WHOLE)))
@pytest.mark.parametrize("how", [failing(500), dying("Bread is ")], ids=["no answer", "killed in mid-stream"])
def test_a_model_that_fails_is_named_and_the_quotes_are_the_report(
    research: Research, server: FakeLanguageServer, failed: int, how: Behaviour
) -> None:
    server.does(*WHOLE[:failed], how)
    made = asked(research)
    assert (made.source, made.model) == ("fallback", METHOD)
    assert made.fallback_reason
    assert f"The language model fake-model was not used: {made.fallback_reason}" in made.report
    assert "- Bread is baked from flour, water and yeast. [1]" in made.report
    assert len(server.bodies) == failed + 1  # it is not asked again


def test_an_empty_report_is_a_failure(research: Research, server: FakeLanguageServer) -> None:
    server.does(*WHOLE[:3], speaking(" "))
    assert asked(research).source == "fallback"


def test_numbers_that_are_no_source_are_named(research: Research, server: FakeLanguageServer) -> None:
    server.does(*WHOLE[:3], speaking("It is so [1], as all know [7]."))
    assert "The model cites [7], which is no source of this run." in asked(research).notes


def test_without_anything_found_it_says_that_there_are_no_sources(
    research: Research, server: FakeLanguageServer
) -> None:
    server.does(speaking(json.dumps({"questions": ["Where is the moon?"]})), speaking("It is far away."))
    made = asked(research, query="Where is the moon?")
    assert (made.source, made.found) == ("llm", False)
    assert "the text is the model's own, without sources" in made.report


class KilledBeforeReport(LocalJobContext):
    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        if stage == "finalize":
            raise KeyboardInterrupt


def test_a_run_that_is_continued_asks_the_model_nothing_twice(research: Research, server: FakeLanguageServer) -> None:
    server.does(*WHOLE)
    killed: Any = KilledBeforeReport(Path())
    with pytest.raises(KeyboardInterrupt):
        asked(research, killed)
    again = LocalJobContext(Path())
    again.checkpoint = killed.checkpoint
    assert asked(research, again).source == "llm"
    assert len(server.bodies) == len(WHOLE)
