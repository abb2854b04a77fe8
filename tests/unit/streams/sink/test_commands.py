"""Commands become rows; records that are no commands are left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow, CommandStore
from connectors.sink_store import Unstorable
from schemas.errors import UndecodableRecord, Unreachable
from schemas.plain import to_plain
from schemas.records import Control
from streams.sink.commands import LONGEST_TEXT, latest, row_of, write

AT = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "01890000-0000-7000-8000-000000000001"


def row(action: str, **fields: Any) -> object:
    return row_of(to_plain(Control(action, AT, "nurse@ward", **fields)))


def test_each_kind_of_command_has_its_row() -> None:
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
def test_a_record_that_is_no_command_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(UndecodableRecord):
        row_of(plain)


def test_the_first_cancel_of_a_run_stands_and_the_last_command_to_a_processor() -> None:
    cancels = [CancelRow(b"j", 0, AT, by, "") for by in ("first", "second")] + [CancelRow(b"j", 1, AT, "third", "")]
    commands = [CommandRow("echo", action, AT, "", "") for action in ("pause", "resume")]
    acknowledgements = [AcknowledgementRow("echo", worker, "paused", AT) for worker in ("a", "b", "a")]
    kept = latest([*cancels, *commands, *acknowledgements])
    assert [row.requested_by for row in kept if isinstance(row, CancelRow)] == ["first", "third"]
    assert [row.action for row in kept if isinstance(row, CommandRow)] == ["resume"]
    assert [row.worker_id for row in kept if isinstance(row, AcknowledgementRow)] == ["a", "b"]


@pytest.mark.parametrize("name", ["p" * 300_000, "e\0", "Echo", "echo\n", ""])
def test_a_command_to_an_impossible_processor_name_is_refused(name: str) -> None:
    with pytest.raises(UndecodableRecord):
        row("pause", processor=name)


def test_a_command_with_a_naive_time_is_refused() -> None:
    with pytest.raises(UndecodableRecord, match="time zone"):
        row_of(to_plain(Control("pause", AT, processor="echo")) | {"at": AT.replace(tzinfo=None)})


class Picky:
    """A store that can't hold the commands to one processor."""

    def __init__(self, error: Exception) -> None:
        self.kept: list[object] = []
        self._error = error

    def write(
        self, cancels: Sequence[object], commands: Sequence[CommandRow], acknowledgements: Sequence[object]
    ) -> None:
        if any(command.processor == "bad" for command in commands):
            raise self._error
        self.kept += [*cancels, *commands, *acknowledgements]


@pytest.mark.parametrize("error", [Unstorable("no room"), TypeError("naive")])
def test_a_command_that_can_not_be_stored_is_left_out_and_the_others_are_stored(error: Exception) -> None:
    store = Picky(error)
    rows = [CommandRow(name, "pause", AT, "", "") for name in ("a", "bad", "b")] + [CancelRow(b"j", 0, AT, "", "")]
    write(cast(CommandStore, store), rows)
    assert sorted(map(str, store.kept)) == sorted(str(one) for one in rows if one is not rows[1])


def test_an_unreachable_store_is_not_blamed_on_a_command() -> None:
    with pytest.raises(Unreachable):
        write(cast(CommandStore, Picky(Unreachable("away"))), [CommandRow("bad", "pause", AT, "", "")])
