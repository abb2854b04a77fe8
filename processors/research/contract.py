"""The contract of `research`: a query in, a report and what it rests on out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from schemas.contract import ProcessorContract
from schemas.states import Custody


@dataclass(frozen=True, slots=True)
class ResearchInput:
    """`query`: a question in Korean or English. `constraints`: sentences that narrow it; each is looked up by itself, and a
    language model is instructed by them. `session_id`: returned in the result; None: the job's id."""

    query: str
    constraints: list[str] = field(default_factory=list)
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class ResearchSource:
    """A local document that the report quotes. `number`: as it is cited, from 1. `name`: its path within the folder, with
    slashes. `title`: its first heading, "" without one. `sha256`: of the file as it was read."""

    number: int
    name: str
    title: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ResearchOutput:
    """`status`: "completed". `report`: Markdown. The first four fields are those of the old system's result."""

    status: str
    report: str
    session_id: str
    query: str
    #: ko or en: the language of the query, and of the report.
    language: str
    #: extractive: sentences of the documents. llm: written by `model`. fallback: extractive, because the model failed.
    source: str
    #: Name of the method or of the language model that wrote the report.
    model: str
    #: Why the language model was not used to the end; None unless `source` is fallback.
    fallback_reason: str | None
    #: False: no document has anything about the query, and the report says so.
    found: bool
    #: Documents of the folder that were searched.
    documents: int
    sources: list[ResearchSource]
    #: Sentences for the reader of the result: files that were not read, for example.
    notes: list[str]


RESEARCH: ProcessorContract[ResearchInput, ResearchOutput] = ProcessorContract(
    "research", ResearchInput, ResearchOutput, Path(__file__).parent / "avro", Custody.LEASE.value
)
