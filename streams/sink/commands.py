"""Stores the commands and acknowledgements of the control topic.

Workers read the topic themselves. The stored rows are for the timekeeper (cancels), for claims by lease (cancels and pauses)
and for the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Message

from connectors.command_store import AcknowledgementRow, CancelRow, CommandRow, CommandStore
from schemas.codec import Codec
from schemas.commands import CANCEL, PAUSE, PAUSED, REPEATED, RESUME, RESUMED
from schemas.contract import NAME
from schemas.errors import UndecodableRecord, Unreachable
from schemas.records import Control
from streams import logs, wiring
from streams.settings import Settings
from streams.sink.decode import job_bytes
from streams.sink.topic_follower import TopicFollower
from streams.sink.validate import POISON, check, kinds_of

log = logs.get("control")

#: Characters of a reason or a requester that are stored; the rest is cut.
LONGEST_TEXT = 500

_KINDS = kinds_of(Control)

Row = CancelRow | CommandRow | AcknowledgementRow


def follow_commands(settings: Settings) -> TopicFollower[CommandStore]:
    """Return a follower of the control topic. It begins at the log's start: commands sent while no sink ran count as well."""
    return TopicFollower(
        settings,
        "control",
        topic=settings.topics.control,
        reset="earliest",
        handle=CommandWriter(wiring.codec(settings)).handle,
        store=lambda: wiring.command_store(settings),
    )


class CommandWriter:
    """Stores commands; skips records that are not commands."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def handle(self, messages: Sequence[Message], store: CommandStore) -> None:
        """Store the commands in `messages`. Raises Unreachable."""
        if messages:
            write(store, latest(row for message in messages if (row := self._row(message)) is not None))

    def _row(self, message: Message) -> Row | None:
        value = message.value()
        if value is None or REPEATED in dict(message.headers() or ()):  # a key's tombstone, or what is stored already
            return None
        try:
            return row_of(self._codec.decode(value))
        except Unreachable:
            raise
        except UndecodableRecord as error:
            reason = error.message
        except POISON as error:  # one bad record must not keep the next command from being stored
            reason = type(error).__name__
        log.warning("command_not_understood", reason=reason, partition=message.partition(), offset=message.offset())
        return None


def write(store: CommandStore, rows: Sequence[Row]) -> None:
    """Store the rows, leaving out those that the store can't hold. Raises Unreachable."""
    try:
        store.write(
            [row for row in rows if isinstance(row, CancelRow)],
            [row for row in rows if isinstance(row, CommandRow)],
            [row for row in rows if isinstance(row, AcknowledgementRow)],
        )
    except POISON as error:
        if len(rows) == 1:
            log.error("command_not_stored", kind=type(rows[0]).__name__, reason=type(error).__name__)
            return
        middle = len(rows) // 2
        write(store, rows[:middle])
        write(store, rows[middle:])


def row_of(plain: Mapping[str, Any]) -> Row | None:
    """Return the row of a decoded record; None for an action that this version does not know.

    Raises UndecodableRecord if the record is not a command.
    """
    check(plain, _KINDS, "command")
    try:
        action, at, by = plain["action"], plain["at"], _short(plain["by"])
        if action == CANCEL:
            return CancelRow(job_bytes(plain["job_id"] or ""), plain["run"], at, by, _short(plain["reason"]))
        if action in (PAUSE, RESUME):
            return CommandRow(_processor(plain), action, at, by, _short(plain["reason"]))
        return AcknowledgementRow(_processor(plain), by, action, at) if action in (PAUSED, RESUMED) else None
    except KeyError as error:
        raise UndecodableRecord(f"The record is not a command: it lacks the field {error}.") from error


def latest(rows: Iterable[Row]) -> list[Row]:
    """Keep one row per key: the first cancel of a run, the last row of every other kind."""
    kept: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (type(row), *row[:1]) if isinstance(row, CommandRow) else (type(row), *row[:2])
        if key not in kept or not isinstance(row, CancelRow):
            kept[key] = row
    return list(kept.values())


def _processor(plain: Mapping[str, Any]) -> str:
    name = plain["processor"]
    if not name or NAME.fullmatch(name) is None:
        raise UndecodableRecord("The command does not name a processor.")
    return str(name)


def _short(text: str) -> str:
    return text[:LONGEST_TEXT]
