"""The graph of a research run: four stages, and a checkpoint after each of them.

initialize ──▶ create_graph ──▶ research ──▶ finalize
                                 ▲    │
                                 └────┘ a turn for each question
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, cast

from langgraph.graph import END, START, StateGraph
from langsmith import tracing_context

from processors.protocol import Checkpoint
from processors.research.checkpointer import JobCheckpointer

#: The stages' names in the graph, and the texts that the old system showed for them.
STAGES = {
    "initialize": "Initializing workflow...",
    "create_graph": "Creating graph...",
    "research": "Running research...",
    "finalize": "Finalizing results...",
}


class QuestionFindings(TypedDict):
    """The findings on a question. `extracts`: [document, quote], best first. `text`: a language model's, "" without."""

    question: str
    extracts: list[list[str]]
    text: str


class ResearchState(TypedDict, total=False):
    """The state that outlives a crash; kept small, as a checkpoint has 1 MiB. `documents`: [name, sha256] of those searched.
    `started_at`: UTC, ISO 8601. `fallback`: why the language model is no longer asked, "" while it is."""

    language: str
    started_at: str
    documents: list[list[str]]
    notes: list[str]
    questions: list[str]
    sections: list[QuestionFindings]
    fallback: str
    report: str


class StageFunction(Protocol):
    """A stage returns the fields of the state that it changes."""

    def __call__(self, state: ResearchState) -> ResearchState: ...


def run_graph(stages: Mapping[str, StageFunction], checkpoint: Checkpoint, thread: str) -> ResearchState:
    """Run the stages (named as in STAGES) and return the last state. With a checkpoint of this thread the run continues there.

    No stage that has ended runs again. Raises what a stage raises, and the checkpoint's errors. Nothing is traced to a service,
    whatever LANGSMITH_TRACING says: queries and reports stay here.
    """
    graph: StateGraph[ResearchState, None, ResearchState, ResearchState] = StateGraph(ResearchState)
    for name in STAGES:
        graph.add_node(name, stages[name])
    graph.add_edge(START, "initialize")
    graph.add_edge("initialize", "create_graph")
    graph.add_edge("create_graph", "research")
    graph.add_conditional_edges("research", _after_research, ["research", "finalize"])
    graph.add_edge("finalize", END)
    saver = JobCheckpointer(checkpoint)
    compiled = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 100}
    given: ResearchState | None = (
        {"notes": [], "sections": [], "fallback": ""} if saver.get_tuple(config) is None else None
    )
    with tracing_context(enabled=False):
        compiled.invoke(given, config, durability="sync")
        return cast(ResearchState, compiled.get_state(config).values)


def _after_research(state: ResearchState) -> str:
    return "research" if len(state["sections"]) < len(state["questions"]) else "finalize"
