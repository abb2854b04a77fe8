"""The checkpointer: one blob of msgpack in the job's checkpoint, no pickle, and no stage twice."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from processors.local import LocalCheckpoint
from processors.research.checkpointer import serializer
from processors.research.graph import STAGES, ResearchState, StageFunction, run_graph
from schemas.errors import PayloadTooLarge
from streams.worker.child.context import LARGEST_CHECKPOINT, WorkerCheckpoint

QUESTIONS = ["하나", "two", "three"]


class Killed(BaseException):
    """Ends a run as a killed process does: no stage can catch it."""


class Stages:
    """Stages that note their calls; `dies`: at the n-th call of which stage the process is killed."""

    def __init__(self, dies: tuple[str, int] = ("", 0)) -> None:
        self.calls: list[str] = []
        self._dies = dies

    def all(self) -> dict[str, StageFunction]:
        return {name: getattr(self, name) for name in STAGES}

    def initialize(self, state: ResearchState) -> ResearchState:
        self._note("initialize")
        return {"language": "ko", "documents": [["문서.md", "0" * 64]]}

    def create_graph(self, state: ResearchState) -> ResearchState:
        self._note("create_graph")
        return {"questions": QUESTIONS}

    def research(self, state: ResearchState) -> ResearchState:
        self._note("research")
        question = state["questions"][len(state["sections"])]
        return {"sections": [*state["sections"], {"question": question, "extracts": [], "text": ""}]}

    def finalize(self, state: ResearchState) -> ResearchState:
        self._note("finalize")
        return {"report": " ".join(section["question"] for section in state["sections"])}

    def _note(self, stage: str) -> None:
        self.calls.append(stage)
        if self._dies == (stage, self.calls.count(stage)):
            raise Killed


WHOLE = ["initialize", "create_graph", "research", "research", "research", "finalize"]


@pytest.mark.parametrize("place", range(len(WHOLE)))
def test_a_run_that_is_killed_at_any_step_resumes_there_and_runs_no_other_twice(place: int) -> None:
    checkpoint, stage = LocalCheckpoint(), WHOLE[place]
    first = Stages((stage, WHOLE[: place + 1].count(stage)))
    with pytest.raises(Killed):
        run_graph(first.all(), checkpoint, "job:0")
    assert first.calls == WHOLE[: place + 1]
    second = Stages()
    state = run_graph(second.all(), checkpoint, "job:0")
    assert second.calls == WHOLE[place:]
    assert state["report"] == "하나 two three"
    assert state["documents"] == [["문서.md", "0" * 64]]


class Slow(LocalCheckpoint):
    """Takes a moment to store."""

    def put(self, data: bytes) -> None:
        threading.Event().wait(0.02)
        super().put(data)


def test_a_stage_begins_after_its_predecessor_is_stored() -> None:
    """LangGraph's default stores it meanwhile: killed at that moment, the predecessor would run again."""
    checkpoint = Slow()
    stored: list[Any] = []

    class Looking(Stages):
        def _note(self, stage: str) -> None:
            blob = checkpoint.get() or b""
            stored.append(set(serializer().loads_typed(("msgpack", blob))["checkpoint"]["channel_values"]))

    run_graph(Looking().all(), checkpoint, "job:0")
    wanted = ["notes", "language", "questions", "questions", "questions", "report"]
    assert [name in seen for name, seen in zip(wanted, stored, strict=True)] == [True] * 5 + [False]


def test_a_run_that_has_ended_runs_nothing_again() -> None:
    checkpoint = LocalCheckpoint()
    run_graph(Stages().all(), checkpoint, "job:0")
    again = Stages()
    assert run_graph(again.all(), checkpoint, "job:0")["report"] == "하나 two three"
    assert again.calls == []


def test_the_checkpoint_of_another_run_is_not_continued() -> None:
    checkpoint = LocalCheckpoint()
    run_graph(Stages().all(), checkpoint, "job:0")
    other = Stages()
    run_graph(other.all(), checkpoint, "job:1")
    assert other.calls == WHOLE


def test_pickle_is_neither_written_nor_read() -> None:
    assert serializer().pickle_fallback is False
    with pytest.raises((TypeError, ormsgpack.MsgpackEncodeError)):
        serializer().dumps_typed({"stage": Stages()})
    with pytest.raises(NotImplementedError):
        serializer().loads_typed(("pickle", pickle.dumps("x")))


CALLED: list[Any] = []


def called(*given: Any) -> None:
    CALLED.append(given)


def test_a_blob_that_names_a_function_calls_none() -> None:
    """LangGraph's default imports and calls whatever a blob of msgpack names."""
    blob = ormsgpack.packb(ormsgpack.Ext(1, ormsgpack.packb((__name__, "called", ["x"]))))
    serializer().loads_typed(("msgpack", blob))
    assert CALLED == []
    JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(("msgpack", blob))
    assert CALLED == [("x",)]


@pytest.mark.parametrize("blob", [ormsgpack.packb({"version": 0, "thread": "job:0"}), ormsgpack.packb([1, 2])])
def test_a_checkpoint_of_another_layout_is_ignored(blob: bytes) -> None:
    checkpoint = LocalCheckpoint()
    checkpoint.put(blob)
    stages = Stages()
    run_graph(stages.all(), checkpoint, "job:0")
    assert stages.calls == WHOLE


class Files:
    """Named files in memory, as a worker's object store has them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def get_named(self, name: str) -> bytes | None:
        return self.files.get(name)

    def put_named(self, name: str, data: bytes) -> None:
        self.files[name] = data


def test_a_state_over_one_mebibyte_fails_the_job_and_keeps_the_last_checkpoint() -> None:
    files: Any = Files()
    stages = Stages()

    def large(state: ResearchState) -> ResearchState:
        return {"questions": ["x" * LARGEST_CHECKPOINT]}

    with pytest.raises(PayloadTooLarge):
        run_graph({**stages.all(), "create_graph": large}, WorkerCheckpoint(files, "job", 0), "job:0")
    again = Stages()
    run_graph(again.all(), WorkerCheckpoint(files, "job", 0), "job:0")
    assert again.calls == WHOLE[1:]


def test_the_text_of_an_error_is_not_kept() -> None:
    checkpoint = LocalCheckpoint()

    def fails(state: ResearchState) -> ResearchState:
        raise ValueError("a secret query")

    with pytest.raises(ValueError, match="secret"):
        run_graph({**Stages().all(), "research": fails}, checkpoint, "job:0")
    assert b"secret" not in (checkpoint.get() or b"")
