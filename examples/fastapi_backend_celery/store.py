"""The table of inferences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

from sqlmodel import JSON, Column, Field, Session, SQLModel, create_engine

engine = create_engine(os.environ.get("BACKEND_DATABASE_URL", "sqlite:///inferences.db"))


class InferenceView(SQLModel):
    """The front end's view. States: PENDING → PROCESSING → COMPLETED | FAILED | CANCELLED."""

    id: str = Field(default_factory=lambda: str(uuid4()), primary_key=True)
    filename: str
    state: str = "PENDING"
    digits: str | None = None
    probabilities: list[float] | None = Field(default=None, sa_column=Column(JSON))
    error: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Inference(InferenceView, table=True):
    task_id: str | None = None


def create_tables() -> None:
    SQLModel.metadata.create_all(engine)


def session() -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as opened:
        yield opened
