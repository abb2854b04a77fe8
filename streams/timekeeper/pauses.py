"""Keeps pauses in force: repeats their commands before the control topic deletes them, which is 15 days after they were sent.

A worker learns of a pause from the topic alone. The store has the last command to each processor, and the sink leaves repeated
commands out, so what is stored stays as it was requested. A pause that is repeated at the moment of its resume would win in the
topic; the next look finds another command in the store and repeats that one.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from connectors.command_store import CommandRow
from schemas.avsc import self_contained
from schemas.codec import TypedCodec
from schemas.commands import PAUSE, REPEATED, processor_key
from schemas.errors import SluiceError
from schemas.records import Control
from streams import logs
from streams.log import kafka
from streams.timekeeper.duty import DutyContext

log = logs.get("timekeeper")

LOOK_EVERY_S = 5.0
#: Far less than the 15 days that the topic keeps a command.
REPEAT_EVERY_S = 24 * 3600.0
#: A command younger than this is not repeated: its resume may follow at once.
YOUNGEST_S = 60.0


class _Seen(NamedTuple):
    row: CommandRow
    repeat_at: float
    repeated: bool


class Pauses:
    def __init__(self, context: DutyContext) -> None:
        self._context = context
        self._next_at = 0.0
        self._seen: dict[str, _Seen] = {}
        self._typed: TypedCodec[Control] | None = None

    def run_once(self) -> bool:
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + LOOK_EVERY_S
        due = [row for row in self._context.store.last_commands() if self._is_due(row, now)]
        for row in due:
            self._put(row)
        errors = self._context.publisher.flush()
        for row in due:
            if row.processor not in errors:
                self._seen[row.processor] = _Seen(row, now + REPEAT_EVERY_S, True)
                log.info("command_repeated", processor=row.processor, action=row.action)
        for name, error in errors.items():
            raise kafka.translate(error, f"repeating the command to {name}")
        return False

    def _is_due(self, row: CommandRow, now: float) -> bool:
        seen = self._seen.get(row.processor)
        if seen is None or (seen.row != row and not seen.repeated):
            self._seen[row.processor] = _Seen(row, now + YOUNGEST_S, False)
            return False
        if seen.row != row:
            return True  # what was repeated may lie behind it in the topic
        return row.action == PAUSE and now >= seen.repeat_at

    def _put(self, row: CommandRow) -> None:
        topic = self._context.settings.topics.control
        if self._typed is None:
            self._typed = self._context.writer.codec.typed(Control, f"{topic}-value", self_contained("Control"))
        record = Control(row.action, row.requested_at, row.requested_by, processor=row.processor, reason=row.reason)
        try:
            value = self._typed.encode(record)
        except SluiceError as error:
            log.error("command_not_repeated", processor=row.processor, reason=str(error))
            return
        self._context.publisher.put(row.processor, topic, processor_key(row.processor), value, {REPEATED: b"1"})
