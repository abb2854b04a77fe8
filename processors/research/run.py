"""The stages of a research run. `graph.py` decides when they run, and keeps their state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

from processors.language.model import LanguageModel, ModelAnswerInvalid, ModelUnavailable
from processors.protocol import JobContext
from processors.research import report
from processors.research.contract import ResearchInput, ResearchOutput, ResearchSource
from processors.research.documents import DocumentFolder, Folder, SourceDocument
from processors.research.graph import STAGES, QuestionFindings, ResearchState, StageFunction, run_graph
from processors.research.ranking import Index
from processors.research.terms import Terms, language_of
from processors.research.writer import ModelWriter
from schemas.errors import JobCancelled

#: Named in results as the author of an extractive report.
METHOD = "tf-idf sentences"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ResearchTools:
    """Shared by all runs of a process. `folder`: None if no folder of documents is set. `model`: None without one."""

    folder: DocumentFolder | None
    terms: Terms
    model: LanguageModel | None = None


class ResearchRun:
    """A run of one job. `thread`: names the job and its run, for the checkpoint."""

    def __init__(self, given: ResearchInput, ctx: JobContext, tools: ResearchTools, thread: str) -> None:
        self._given = given
        self._ctx = ctx
        self._tools = tools
        self._thread = thread

    def stages(self) -> dict[str, StageFunction]:
        """Return the stages by their names in the graph."""
        return {
            "initialize": self.initialize,
            "create_graph": self.create_graph,
            "research": self.research,
            "finalize": self.finalize,
        }

    def result(self, session_id: str) -> ResearchOutput:
        """Run the stages that have not ended yet, and return the output. Raises JobCancelled and the checkpoint's errors."""
        state = run_graph(self.stages(), self._ctx.checkpoint, self._thread)
        sources, source = self._sources(state), self._source(state)
        return ResearchOutput(
            status="completed",
            report=state["report"],
            session_id=self._given.session_id or session_id,
            query=self._given.query,
            language=state["language"],
            source=source,
            model=self._model_name if source == "llm" else METHOD,
            fallback_reason=state["fallback"] or None,
            found=bool(sources),
            documents=len(state["documents"]),
            sources=sources,
            notes=state["notes"],
        )

    # ── the stages ──

    def initialize(self, state: ResearchState) -> ResearchState:
        """Take stock of the documents: a run that is continued elsewhere searches the same ones."""
        self._begin("initialize", 0)
        notes = list(self._folder.notes)
        if self._tools.folder is None:
            notes.append("RESEARCH_DOCUMENTS is not set: there is no folder to search.")
        return {
            "language": language_of(self._given.query),
            "started_at": datetime.now(UTC).isoformat(),
            "documents": [[each.name, each.sha256] for each in self._folder.documents],
            "notes": notes,
        }

    def create_graph(self, state: ResearchState) -> ResearchState:
        """Decide which questions are looked up: the query, and those of the model, else the constraints."""
        self._begin("create_graph", 10)
        given = self._given
        further, fallback = self._by_model(state, lambda writer: writer.questions(given.query, given.constraints))
        return {
            "questions": list(dict.fromkeys([given.query, *(given.constraints if further is None else further)])),
            "fallback": fallback,
        }

    def research(self, state: ResearchState) -> ResearchState:
        """Look up the next question."""
        done = len(state["sections"])
        self._begin("research", 20 + 70 * done / len(state["questions"]))
        question = state["questions"][done]
        extracts = [[each.document, each.quote] for each in self._index(state).best(question)]
        found: QuestionFindings = {"question": question, "extracts": extracts, "text": ""}
        fallback = state["fallback"]
        if extracts:
            numbers = report.numbers_of([*state["sections"], found])
            text, fallback = self._by_model(state, lambda writer: writer.paragraph(question, extracts, numbers))
            found["text"] = text or ""
        return {"sections": [*state["sections"], found], "fallback": fallback}

    def finalize(self, state: ResearchState) -> ResearchState:
        """Write the report: the model's, else the quotes."""
        self._begin("finalize", 90)
        given, words, sources = self._given, report.WORDS[state["language"]], self._sources(state)
        notes = [*state["notes"], *self._changes(state)]
        written, fallback = self._by_model(
            state,
            lambda writer: writer.report(given.query, given.constraints, state["sections"], self._ctx.stream_text),
        )
        if written is not None:
            by, body = words["written"].format(model=self._model_name), written.text.strip()
            by = by if sources else f"{by} {words['no_sources']}"
            notes += report.notes_on(body, len(sources), cut=written.cut)
        else:
            by, body = words["method"], report.extractive(state["sections"], words, len(state["documents"]))
            if fallback:
                by = f"{words['fallback'].format(model=self._model_name, reason=fallback)} {by}"
        lines = [
            f"{each.name}{f' — {each.title}' if each.title else ''} (sha256 {each.sha256[:12]}…)" for each in sources
        ]
        text = report.whole(given.query, by, body, lines, notes, state["started_at"], words)
        return {"report": text, "notes": notes, "fallback": fallback}

    # ── what they share ──

    def _begin(self, stage: str, percent: float | None) -> None:
        self._check()
        self._ctx.progress(stage, percent, STAGES[stage])

    @property
    def _model_name(self) -> str:
        return "" if self._tools.model is None else self._tools.model.name

    def _source(self, state: ResearchState) -> str:
        """Return who wrote the report: extractive, llm or fallback."""
        if state["fallback"]:
            return "fallback"
        return "extractive" if self._tools.model is None else "llm"

    def _by_model(self, state: ResearchState, ask: Callable[[ModelWriter], T]) -> tuple[T | None, str]:
        """Return the model's answer and "", or None and why there is none; the reason is "" if no model is set.

        A model that failed once is not asked again in this run: its report would be half by one and half by the other.
        """
        if self._tools.model is None or state["fallback"]:
            return None, state["fallback"]
        try:
            return ask(ModelWriter(self._tools.model, state["language"], self._ctx.cancelled)), ""
        except (ModelUnavailable, ModelAnswerInvalid) as error:
            return None, error.message

    def _check(self) -> None:
        if self._ctx.cancelled():
            raise JobCancelled("The run was asked to stop.")

    @cached_property
    def _folder(self) -> Folder:
        return Folder() if self._tools.folder is None else self._tools.folder.read()

    def _known(self, state: ResearchState) -> list[SourceDocument]:
        """Return the documents of the first stage, as far as they are the same by now."""
        hashes = dict(state["documents"])
        return [each for each in self._folder.documents if hashes.get(each.name) == each.sha256]

    def _changes(self, state: ResearchState) -> list[str]:
        known = {each.name for each in self._known(state)}
        gone = [name for name, _ in state["documents"] if name not in known]
        return [f"{', '.join(gone[:5])} changed while the run was under way, and was not searched."] if gone else []

    def _index(self, state: ResearchState) -> Index:
        if self._made_index is None:
            self._made_index = Index(self._known(state), self._tools.terms.finder(state["language"]), self._check)
        return self._made_index

    _made_index: Index | None = None

    def _sources(self, state: ResearchState) -> list[ResearchSource]:
        hashes: Mapping[str, str] = dict(state["documents"])
        titles = {each.name: each.title for each in self._folder.documents}
        return [
            ResearchSource(number, name, titles.get(name, ""), hashes[name])
            for name, number in report.numbers_of(state["sections"]).items()
        ]
