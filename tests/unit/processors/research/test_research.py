"""Research runs: reports of quotes with their sources, in Korean and English, and what they say when nothing is found."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import langsmith
import pytest

from processors.local import LocalJobContext, LocalLoadContext, run_one
from processors.protocol import Processor
from processors.research import report, run
from processors.research.contract import RESEARCH, ResearchInput, ResearchOutput
from processors.research.graph import STAGES
from processors.research.processor import Research
from processors.weights import sha256_of
from schemas.errors import InvalidInput, JobCancelled, StartupError

TEXTS = {
    "kafka.md": (
        "# Consumer groups\n\nA consumer group shares the partitions of a topic among its members. "
        "When a member joins or leaves, its partitions are rebalanced. "
        "A consumer group is sharing a topic's partitions among the members.\n"
    ),
    "bread.txt": "Bread is baked from flour, water and yeast. The dough has to rise before it is baked.",
    "서울.txt": "서울의 지하철은 1974년에 처음 개통되었다. 서울 지하철은 하루에 700만 명을 실어 나른다. 김치는 배추로 만든다.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("문서")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def research(folder: Path) -> Research:
    return opened(RESEARCH_DOCUMENTS=str(folder))


def opened(**options: str) -> Research:
    made = Research()
    made.load(LocalLoadContext(Research, options=options))
    return made


def asked(processor: Research, query: str, *constraints: str, context: Any = None, **more: Any) -> ResearchOutput:
    given = ResearchInput(query, list(constraints), **more)
    found = run_one(processor, given, Path(), context or LocalJobContext(Path()))
    assert isinstance(found, ResearchOutput)
    return found


def test_it_is_a_processor_with_the_old_workers_limits(research: Research) -> None:
    assert isinstance(research, Processor)
    policy = research.policy
    assert (policy.limits.soft_ms, policy.limits.hard_ms) == (3_300_000, 3_600_000)
    assert (policy.batch.max_size, policy.in_flight, policy.recycle.jobs) == (1, 1, 50)
    assert policy.custody == RESEARCH.custody


def test_an_english_report_quotes_its_sources(research: Research, folder: Path) -> None:
    made = asked(research, "How are partitions shared in a consumer group?")
    assert (made.status, made.source, made.model, made.fallback_reason) == ("completed", "extractive", run.METHOD, None)
    assert (made.found, made.language, made.documents) == (True, "en", 3)
    (source,) = made.sources
    assert (source.number, source.name, source.title) == (1, "kafka.md", "Consumer groups")
    assert source.sha256 == sha256_of(folder / "kafka.md")
    assert "- A consumer group shares the partitions of a topic among its members. [1]" in made.report
    assert made.report.count("among") == 1  # the other sentence says the same
    assert f"1. kafka.md — Consumer groups (sha256 {source.sha256[:12]}…)" in made.report
    assert "No language model wrote this." in made.report
    assert "Bread" not in made.report


def test_a_korean_query_finds_its_words_whatever_their_endings(research: Research) -> None:
    made = asked(research, "서울에서 지하철이 개통된 것은 언제인가요?")
    assert (made.language, [each.name for each in made.sources]) == ("ko", ["서울.txt"])
    assert "- 서울의 지하철은 1974년에 처음 개통되었다. [1]" in made.report
    assert "## 출처" in made.report
    assert "김치" not in made.report


def test_an_english_query_loads_no_model_of_korean(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = opened(RESEARCH_DOCUMENTS=str(folder))
    monkeypatch.setattr(processor.tools.terms, "_korean", None)
    assert asked(processor, "What is bread made from?").found


@pytest.mark.parametrize("query", ["Who won the football world cup of 1998?", "Where is the bread museum of Ulm?"])
def test_it_says_so_when_nothing_is_found(research: Research, query: str) -> None:
    made = asked(research, query)
    assert (made.found, made.sources) == (False, [])
    assert "Nothing about this was found in 3 local documents." in made.report


def test_without_a_folder_it_says_that_there_is_none() -> None:
    made = asked(opened(), "What is bread made from?")
    assert (made.found, made.documents) == (False, 0)
    assert "There are no local documents to search." in made.report
    assert made.notes == ["RESEARCH_DOCUMENTS is not set: there is no folder to search."]


def test_a_folder_that_is_none_stops_the_worker(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no folder"):
        opened(RESEARCH_DOCUMENTS=str(tmp_path / "none"))


def test_each_constraint_is_looked_up_by_itself(research: Research) -> None:
    made = asked(research, "What is bread made from?", "Members of a consumer group", "The moon landing of 1969")
    assert [each.name for each in made.sources] == ["bread.txt", "kafka.md"]
    assert "### Members of a consumer group\n\n- " in made.report
    assert "### The moon landing of 1969\n\nNothing about this was found." in made.report


def test_the_session_is_the_callers_or_the_jobs(research: Research) -> None:
    assert asked(research, "bread", session_id="s-7").session_id == "s-7"
    assert asked(research, "bread").session_id == "local"


@pytest.mark.parametrize(
    "given",
    [
        ResearchInput("  \n"),
        ResearchInput("x" * 4001),
        ResearchInput("x", ["y"] * 11),
        ResearchInput("x", ["y" * 4001]),
    ],
)
def test_an_input_that_is_empty_or_too_large_is_refused(
    research: Research, given: ResearchInput, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput):
        run_one(research, given, tmp_path)


class Watched(LocalJobContext):
    """Notes the progress; from the stage `stops` on, the job is asked to stop."""

    def __init__(self, stops: str = "") -> None:
        super().__init__(Path())
        self.seen: list[tuple[str, float | None, str]] = []
        self._stops = stops

    def progress(self, stage: str, percent: float | None = None, message: str = "") -> None:
        self.seen.append((stage, percent, message))

    def cancelled(self) -> bool:
        return bool(self.seen) and self.seen[-1][0] == self._stops


def test_the_four_stages_are_shown_with_their_old_texts(research: Research) -> None:
    context = Watched()
    asked(research, "bread", context=context)
    assert [(stage, message) for stage, _, message in context.seen] == list(STAGES.items())
    percents = [percent for _, percent, _ in context.seen]
    assert percents == sorted(percents, key=lambda percent: percent or 0)
    assert list(STAGES.values()) == [
        "Initializing workflow...",
        "Creating graph...",
        "Running research...",
        "Finalizing results...",
    ]


@pytest.mark.parametrize("stage", list(STAGES)[:-1])
def test_a_run_that_is_asked_to_stop_does_so_at_the_next_stage(research: Research, stage: str) -> None:
    with pytest.raises(JobCancelled):
        asked(research, "bread", context=Watched(stops=stage))


def test_a_document_that_changed_since_the_run_began_is_not_searched_and_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Bread is baked from flour and water.")
    processor, context = opened(RESEARCH_DOCUMENTS=str(tmp_path)), Watched(stops="create_graph")
    with pytest.raises(JobCancelled):
        asked(processor, "bread", context=context)
    (tmp_path / "a.txt").write_text("Bread is older than history, they say.")
    resumed = Watched()
    resumed.checkpoint = context.checkpoint
    made = asked(processor, "bread", context=resumed)
    assert [stage for stage, _, _ in resumed.seen] == ["research", "finalize"]
    assert (made.found, made.documents) == (False, 1)
    assert made.notes == ["a.txt changed while the run was under way, and was not searched."]


def test_times_are_shown_as_in_seoul() -> None:
    shown = report.whole(
        "q", "by", "body", [], [], datetime(2026, 1, 1, 20, 30, tzinfo=UTC).isoformat(), report.WORDS["en"]
    )
    assert shown.endswith("\n\n2026-01-02 05:30 (Asia/Seoul)\n")


def test_nothing_is_traced_to_a_service(research: Research, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangGraph sends each run to LangSmith where LANGSMITH_TRACING is true."""
    monkeypatch.setitem(os.environ, "LANGSMITH_TRACING", "true")
    monkeypatch.setitem(os.environ, "LANGSMITH_API_KEY", "x")
    forget: Any = langsmith.utils.get_env_var
    forget.cache_clear()
    made: list[Any] = []
    monkeypatch.setattr("langchain_core.tracers.langchain.LangChainTracer.__init__", lambda *a, **k: made.append(a))
    try:
        asked(research, "bread")
    finally:
        monkeypatch.undo()
        forget.cache_clear()
    assert made == []
