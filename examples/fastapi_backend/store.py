"""The table of inferences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlmodel import JSON, Column, Field, Session, SQLModel, col, create_engine, or_, update

engine = create_engine(os.environ.get("BACKEND_DATABASE_URL", "sqlite:///inferences.db"))
OPEN = ("PENDING", "PROCESSING")


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
    job_id: str | None = None
    run: int = 0


def create_tables() -> None:
    SQLModel.metadata.create_all(engine)


def session() -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as opened:
        yield opened


def set_ended(
    db: Session, inference_id: str, run: int, state: str, output: Mapping[str, Any] | None, error: str | None
) -> None:
    """Store how a run ended. Does nothing if that is stored: a callback may come twice, and a poll may come before it."""
    output = output or {}
    statement = (
        update(Inference)
        .where(col(Inference.id) == inference_id, or_(col(Inference.state).in_(OPEN), col(Inference.run) < run))
        .values(
            state=state,
            run=run,
            digits=output.get("digits"),
            probabilities=output.get("probabilities"),
            error=error,
        )
    )
    db.exec(statement)
    db.commit()
