"""Orders as rows: what is kept, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from connectors.control_store import AnswerRow, CancelRow, OrderRow
from schemas.errors import UndecodableRecord
from schemas.plain import to_plain
from schemas.records import Control
from streams.sink.control import LONGEST_TEXT, latest, row_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "01890000-0000-7000-8000-000000000001"


def row(action: str, **fields: Any) -> object:
    return row_of(to_plain(Control(action, AT, "nurse@ward", **fields)))


def test_each_kind_of_order_has_its_row() -> None:
    assert row("cancel", job_id=JOB, run=2, reason="moved") == CancelRow(UUID(JOB).bytes, 2, AT, "nurse@ward", "moved")
    assert row("pause", processor="echo") == OrderRow("echo", "pause", AT, "nurse@ward", "")
    assert row("resumed", processor="echo") == AnswerRow("echo", "nurse@ward", "resumed", AT)


def test_an_action_of_a_later_version_is_passed_over() -> None:
    assert row("dance", processor="echo") is None


def test_a_reason_is_kept_short() -> None:
    made = row("cancel", job_id=JOB, reason="r" * 9000)
    assert isinstance(made, CancelRow)
    assert len(made.reason) == LONGEST_TEXT


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"action": "cancel"},
        to_plain(Control("cancel", AT, job_id="job 1")),
        to_plain(Control("cancel", AT)),
        to_plain(Control("pause", AT)),
        to_plain(Control("cancel", AT, job_id=JOB, run=2**40)),
        to_plain(Control("pause", AT, processor="echo")) | {"at": "yesterday"},
    ],
)
def test_what_is_no_order_is_told_apart(plain: dict[str, Any]) -> None:
    with pytest.raises(UndecodableRecord):
        row_of(plain)


def test_the_first_cancel_of_a_run_stands_and_the_last_order_to_a_processor() -> None:
    cancels = [CancelRow(b"j", 0, AT, by, "") for by in ("first", "second")] + [CancelRow(b"j", 1, AT, "third", "")]
    orders = [OrderRow("echo", action, AT, "", "") for action in ("pause", "resume")]
    answers = [AnswerRow("echo", worker, "paused", AT) for worker in ("a", "b", "a")]
    kept = latest([*cancels, *orders, *answers])
    assert [one.requested_by for one in kept if isinstance(one, CancelRow)] == ["first", "third"]
    assert [one.action for one in kept if isinstance(one, OrderRow)] == ["resume"]
    assert [one.worker_id for one in kept if isinstance(one, AnswerRow)] == ["a", "b"]
