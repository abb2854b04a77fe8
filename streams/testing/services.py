"""Runs the sink and the timekeeper of a flow, the real ones, a step at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streams import wiring
from streams.log import kafka
from streams.settings import Settings
from streams.sink.commands import follow_commands
from streams.sink.handoff import NoHandoff
from streams.sink.sink import open_session
from streams.timekeeper import Timekeeper
from streams.timekeeper.requests import RequestReader


class Services:
    """`stop` is never set, because no dependency is ever unreachable."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._store = wiring.sink_store(settings)
        self._session = open_session(settings, self._store, kafka.producer(settings), NoHandoff(), stop)
        self._commands = follow_commands(settings)
        self._commands_store = wiring.command_store(settings)
        self._commands_consumer = self._commands.subscribe()
        self._due = wiring.due_store(settings)
        self._reader = RequestReader(settings, self._due.keep_leading)
        stores = self._due, wiring.lease_store(settings), wiring.replay_store(settings)
        self._duties = Timekeeper(settings).duties(*stores, self._reader)

    def settle(self, mark: Callable[[], object]) -> None:
        """Step until none of them has anything left to do. `mark` returns something that changes when something happened."""
        while True:
            before = mark()
            self._session.step()
            self._session.settle()  # also stores requests that wait for a result that may come soon
            self._commands.turn(self._commands_consumer, self._commands_store)
            if self._due.lead():
                for duty in self._duties:
                    duty.run_once()
            if mark() == before:
                return

    def close(self) -> None:
        self._session.close()
        self._commands_consumer.close()
        self._reader.close()
        self._due.close()
