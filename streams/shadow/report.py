"""Puts a shadow run's report together, and prints or writes it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from connectors.claim_store import JobFiles
from connectors.replay_store import CANCELLED, FAILED, WAITING, Replay
from connectors.shadow_store import ShadowPair, ShadowStore
from schemas.errors import UsageError
from schemas.states import Mode
from streams.shadow.cases import ShadowReport, compare_case, summarize
from streams.shadow.differences import Comparer
from streams.shadow.files import FileComparison

#: Cases of one query.
PAGE = 200
NEVER = "the replay was cancelled before"


def make_report(
    replay: Replay,
    store: ShadowStore,
    files: JobFiles,
    *,
    tolerance: float = 0.0,
    advance: Callable[[], None] = lambda: None,
) -> ShadowReport:
    """Compare all cases that have ended. `advance` is called after each. Raises UsageError for a replay that is no shadow run,
    Unreachable, ConnectionFailed."""
    if replay.mode != Mode.SHADOW:
        raise UsageError(
            f"Replay {replay.replay_id} is no shadow run: its runs count, and there is nothing to compare.",
            next_step="`sluice replay show` shows how it does; start a shadow run with --to-version.",
        )
    comparer = Comparer(FileComparison(files, tolerance).compare, tolerance)
    cases = []
    for pair in _pairs(store, replay):
        cases.append(compare_case(pair, comparer))
        advance()
    return ShadowReport(
        replay.replay_id,
        next((case.pair.processor for case in cases), str(replay.selection.get("processor", ""))),
        replay.to_version or "",
        replay.reason,
        replay.requested_by,
        replay.created_at,
        datetime.now(UTC),
        tolerance,
        summarize(cases),
        tuple(sorted(cases, key=lambda case: case.rank)),
    )


def _pairs(store: ShadowStore, replay: Replay) -> Iterator[ShadowPair]:
    after = 0
    while page := store.pairs(replay.replay_id, after, PAGE):
        for pair in page:
            gave_up = replay.state == CANCELLED and pair.state == WAITING
            yield pair._replace(state=FAILED, reason=NEVER) if gave_up else pair
        after = page[-1].n


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all: a report has data of patients. Raises UsageError."""
    try:
        # A new file of mode 0600, so that an existing one with another mode is replaced.
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"The report can't be written to {path}: {error.strerror or error}.") from error
