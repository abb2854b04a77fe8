"""Port for reading the cases of a shadow run. Implementations: `postgres/shadow_store.py`, `memory/shadow_store.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self


class RunEnding(NamedTuple):
    """How a run ended. `output` and `refs` as they are stored, in JSON's types."""

    run: int
    state: str
    error_code: str | None
    model_version: str | None
    device: str | None
    run_ms: float | None
    output: Any
    refs: Sequence[Mapping[str, Any]]

    @property
    def shown(self) -> str:
        return f"{self.state} {self.error_code}" if self.error_code else self.state


class ShadowPair(NamedTuple):
    """A job of a shadow replay. `before`: the run that it repeats, `after`: the shadow run; None while it has no outcome.
    `state` and `reason`: of its row in the replay."""

    n: int
    job_id: str
    processor: str
    case_id: str | None
    from_run: int
    run: int | None
    state: str
    reason: str | None
    before: RunEnding | None
    after: RunEnding | None


class ShadowStore(Protocol):
    """Used by one thread; a context manager. Every call raises Unreachable while the store does not answer."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def pairs(self, replay_id: str, after: int, limit: int) -> list[ShadowPair]:
        """Return the jobs of a replay by their number, those after the given number."""
        ...

    def close(self) -> None: ...
