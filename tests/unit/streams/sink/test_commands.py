"""Orders as rows: what is kept, and what is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow, CommandStore
from connectors.store import Unstorable
from schemas.errors import UndecodableRecord, Unreachable
from schemas.plain import to_plain
from schemas.records import Control
from streams.sink.commands import LONGEST_TEXT, latest, row_of, write

AT = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "01890000-0000-7000-8000-000000000001"


def row(action: str, **fields: Any) -> object:
    return row_of(to_plain(Control(action, AT, "nurse@ward", **fields)))


def test_each_kind_of_order_has_its_row() -> None:
    assert row("cancel", job_id=JOB, run=2, reason="moved") == CancelRow(UUID(JOB).bytes, 2, AT, "nurse@ward", "moved")
    assert row("pause", processor="echo") == CommandRow("echo", "pause", AT, "nurse@ward", "")
    assert row("resumed", processor="echo") == AcknowledgementRow("echo", "nurse@ward", "resumed", AT)


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
    orders = [CommandRow("echo", action, AT, "", "") for action in ("pause", "resume")]
    answers = [AcknowledgementRow("echo", worker, "paused", AT) for worker in ("a", "b", "a")]
    kept = latest([*cancels, *orders, *answers])
    assert [one.requested_by for one in kept if isinstance(one, CancelRow)] == ["first", "third"]
    assert [one.action for one in kept if isinstance(one, CommandRow)] == ["resume"]
    assert [one.worker_id for one in kept if isinstance(one, AcknowledgementRow)] == ["a", "b"]


@pytest.mark.parametrize("name", ["p" * 300_000, "e\0", "Echo", "echo\n", ""])
def test_an_order_to_what_is_no_processors_name_is_none(name: str) -> None:
    with pytest.raises(UndecodableRecord):
        row("pause", processor=name)


def test_an_order_with_a_naive_time_is_none() -> None:
    with pytest.raises(UndecodableRecord, match="time zone"):
        row_of(to_plain(Control("pause", AT, processor="echo")) | {"at": AT.replace(tzinfo=None)})


class Picky:
    """A store that can't hold the orders to one processor."""

    def __init__(self, error: Exception) -> None:
        self.kept: list[object] = []
        self._error = error

    def write(self, cancels: Sequence[object], orders: Sequence[CommandRow], answers: Sequence[object]) -> None:
        if any(order.processor == "bad" for order in orders):
            raise self._error
        self.kept += [*cancels, *orders, *answers]


@pytest.mark.parametrize("error", [Unstorable("no room"), TypeError("naive")])
def test_an_order_that_can_not_be_stored_is_left_out_and_the_others_are_stored(error: Exception) -> None:
    store = Picky(error)
    rows = [CommandRow(name, "pause", AT, "", "") for name in ("a", "bad", "b")] + [CancelRow(b"j", 0, AT, "", "")]
    write(cast(CommandStore, store), rows)
    assert sorted(map(str, store.kept)) == sorted(str(one) for one in rows if one is not rows[1])


def test_a_store_that_does_not_answer_is_no_fault_of_an_order() -> None:
    with pytest.raises(Unreachable):
        write(cast(CommandStore, Picky(Unreachable("away"))), [CommandRow("bad", "pause", AT, "", "")])
