"""Generated text leaves a worker in order, in few records, and before its job's answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from streams.worker.supervision.limits import ProgressUpdate
from streams.worker.supervision.texts import LONGEST_PIECE, GeneratedTexts
from streams.worker.text_frame import LONGEST_STREAM
from tests.harness.processors.killer import installed
from tests.harness.supervisor_driver import driving

MOODY = "tests.harness.processors.moody"


def pieces(updates: Sequence[ProgressUpdate]) -> list[tuple[int, str | None]]:
    return [(update.sequence, update.text) for update in updates]


def test_the_first_piece_goes_out_at_once_and_what_follows_soon_is_joined() -> None:
    texts = GeneratedTexts()
    assert pieces(texts.add(1, "The ", 5.0)) == [(1, "The ")]
    assert texts.add(1, "scan ", 5.01) == texts.add(1, "shows ", 5.02) == []
    assert texts.due(5.05) == []
    assert pieces(texts.due(5.11)) == [(2, "scan shows ")]
    assert texts.due(6.0) == []


def test_much_text_at_once_is_split_and_does_not_wait() -> None:
    texts = GeneratedTexts()
    texts.add(1, "a", 0.0)
    updates = texts.add(1, "b" * (LONGEST_PIECE + 1), 0.01)
    assert [(update.sequence, len(update.text or "")) for update in updates] == [(2, LONGEST_PIECE), (3, 1)]


def test_the_rest_goes_out_with_the_answer_and_another_attempt_counts_from_one() -> None:
    texts = GeneratedTexts()
    texts.add(1, "a", 0.0)
    texts.add(1, "b", 0.01)
    assert pieces(texts.end([1, 2])) == [(2, "b")]
    assert texts.end([1]) == []
    assert pieces(texts.add(1, "c", 0.02)) == [(1, "c")]


def test_text_that_begins_again_counts_from_one_and_drops_what_waited() -> None:
    texts = GeneratedTexts()
    texts.add(1, "a", 0.0)
    texts.add(1, "lost", 0.01)
    assert texts.add(1, "", 0.02, restart=True) == []
    assert pieces(texts.add(1, "b", 0.03)) == [(1, "b")]


def test_one_job_streams_no_more_than_its_share() -> None:
    texts = GeneratedTexts()
    updates = [*texts.add(1, "x" * LONGEST_STREAM, 0.0), *texts.add(1, "more", 1.0), *texts.end([1])]
    assert sum(len(update.text or "") for update in updates) == LONGEST_STREAM


def test_jobs_that_are_gone_leave_nothing_behind() -> None:
    texts = GeneratedTexts()
    for slot in (1, 2):
        texts.add(slot, "a", 0.0)
        texts.add(slot, "b", 0.01)
    texts.forget([1])
    assert [update.slot for update in texts.due(1.0)] == [2]
    texts.clear()
    assert not texts


def test_a_child_sends_text_over_its_pipe_whole_and_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site", "Moody", MOODY))
    words = [f"wörd{n}" for n in range(200)]
    with driving(tmp_path) as driver:
        (job,) = driver.send("tell " + " ".join(words))
        driver.until_answered(job)
        reports = driver.collected.reports
        assert "".join(update.text or "" for update in reports) == "".join(word + " " for word in words)
        assert [update.sequence for update in reports] == list(range(1, len(reports) + 1))
        assert len(reports) < len(words) / 4, "pieces are joined"
