"""The sink's store on Postgres: one prepared statement per batch (docs/adr/0004-one-statement-a-batch.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter

import psycopg
from psycopg import errors

from connectors.dead_letter_store import DeadLetterRow
from connectors.postgres.arrays import integers, moment, uuids
from connectors.postgres.base import PostgresStore
from connectors.postgres.connection import UNSTORABLE, Connection
from connectors.postgres.statement import Rows, statement
from connectors.sink_store import (
    ClaimedOffsets,
    Fenced,
    HistoryRow,
    LeaseRow,
    LogPosition,
    OffsetRow,
    ProgressEnd,
    ProgressRow,
    RunRow,
    Stored,
    Unstorable,
)

_TRIES = 5
#: Values that Postgres, or its binary format, can't hold.
_UNSTORABLE = (*UNSTORABLE, errors.NotNullViolation, struct.error, OverflowError)


class PostgresSinkStore(PostgresStore):
    """Implements `connectors.sink_store.SinkStore`."""

    application = "sluice sink"
    # Generic plans are made once, while the tables are empty: without these settings they would scan the tables forever.
    # `store_batch` reaches each table by an insert, so its hash joins are between parameters only; other statements that join
    # a table must do so by its key (`_by_key`).
    session = """
        SET enable_seqscan = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
        SET plan_cache_mode = force_generic_plan; SET jit = off
    """
    prepared = (
        "store_batch",
        "store_leases",
        "store_dead_letters",
        "claim_offsets",
        "learn_topics",
        "find_winners",
        "find_executions",
        "mark_progress",
        "end_progress",
    )

    def learn_topics(self, names: Mapping[bytes, str]) -> None:
        with self._connected("naming topics") as connection:
            statement("learn_topics").run(connection, t=list(names.items()))

    def claim(self, group: str, begins: Mapping[tuple[bytes, int], int]) -> dict[tuple[bytes, int], ClaimedOffsets]:
        rows = sorted((group, topic, partition, begin) for (topic, partition), begin in begins.items())
        with self._connected("claiming partitions") as connection:
            result = statement("claim_offsets").run(connection, p=rows)
        claimed = {}
        for row in range(result.ntuples):
            topic = result.get_value(row, 0) or b""
            partition, *rest = (_number(result.get_value(row, column)) for column in range(1, 5))
            claimed[topic, partition] = ClaimedOffsets(*rest)
        return claimed

    def store(
        self,
        runs: Sequence[RunRow],
        history: Sequence[HistoryRow],
        offsets: Sequence[OffsetRow],
        leases: Sequence[LeaseRow] = (),
        dead_letters: Sequence[DeadLetterRow] = (),
    ) -> Stored:
        letters = sorted(dead_letters, key=itemgetter(0, 1, 2))
        aside: dict[str, dict[str, Rows]] = {"store_leases": {"l": leases}, "store_dead_letters": {"d": letters}}
        with self._connected("storing a batch") as connection:
            result = _without_deadlocks(connection, {"r": runs, "h": history, "o": offsets}, aside)
        losers = zip(uuids(result.get_value(0, 1)), integers(result.get_value(0, 2)), strict=True)
        decided_at = moment(_number(result.get_value(0, 3)))
        deferred = zip(uuids(result.get_value(0, 4)), integers(result.get_value(0, 5)), strict=True)
        return Stored(frozenset(losers), decided_at, frozenset(deferred))

    def executions(self, runs: Iterable[tuple[bytes, int]]) -> dict[tuple[bytes, int], tuple[int, int]]:
        ordered = sorted(runs)
        with self._connected("looking for leases") as connection, _by_key(connection):
            result = statement("find_executions").run(connection, k=[(n, *key) for n, key in enumerate(ordered)])
        rows = ([_number(result.get_value(row, column)) for column in range(3)] for row in range(result.ntuples))
        return {ordered[n]: (attempt, execution) for n, attempt, execution in rows}

    def winners(self, candidates: Mapping[LogPosition, tuple[bytes, int]]) -> set[LogPosition]:
        positions = list(candidates)
        rows = [(n, *candidates[position], *position) for n, position in enumerate(positions)]
        with self._connected("looking for winners") as connection, _by_key(connection):
            result = statement("find_winners").run(connection, c=rows)
        return {positions[_number(result.get_value(row, 0))] for row in range(result.ntuples)}

    def mark_progress(self, rows: Sequence[ProgressRow]) -> set[tuple[bytes, int]]:
        ordered = sorted(rows)
        with self._connected("marking progress") as connection, _by_key(connection):
            result = statement("mark_progress").run(connection, p=[(n, *row) for n, row in enumerate(ordered)])
        known = (ordered[_number(result.get_value(row, 0))] for row in range(result.ntuples))
        return {(row.job_id, row.run) for row in known}

    def end_progress(self, ends: Sequence[ProgressEnd]) -> set[bytes]:
        with self._connected("ending progress callbacks") as connection, _by_key(connection):
            result = statement("end_progress").run(connection, e=sorted(ends, key=itemgetter(0)))
        return {result.get_value(row, 0) or b"" for row in range(result.ntuples)}

    @contextmanager
    def _connected(self, doing: str) -> Iterator[Connection]:
        with super()._connected(doing) as connection:
            try:
                yield connection
            except errors.DivisionByZero as error:  # raised on purpose by store_batch.sql
                raise Fenced("Another sink owns a partition of this batch; nothing was stored.") from error
            except _UNSTORABLE as error:
                raise Unstorable(f"Postgres can't hold a row: {type(error).__name__}.") from error


@contextmanager
def _by_key(connection: Connection) -> Iterator[None]:
    """Make a statement that joins a table look rows up by key. No such statement is on the hot path."""
    connection.execute("SET enable_hashjoin = off")
    yield
    connection.execute("SET enable_hashjoin = on")


def _without_deadlocks(
    connection: Connection, batch: Mapping[str, Rows], aside: Mapping[str, Mapping[str, Rows]]
) -> psycopg.pq.abc.PGresult:
    """Store a batch; try again after a deadlock with another sink, which is rare because rows are sorted by job."""
    for _ in range(_TRIES - 1):
        try:
            return _store(connection, batch, aside)
        except (errors.DeadlockDetected, errors.SerializationFailure):
            continue
    return _store(connection, batch, aside)


def _store(
    connection: Connection, batch: Mapping[str, Rows], aside: Mapping[str, Mapping[str, Rows]]
) -> psycopg.pq.abc.PGresult:
    """Run one statement; with leases or dead letters in the batch also the statements of `aside` that have rows, in the same
    transaction."""
    more = {name: tables for name, tables in aside.items() if any(tables.values())}
    if not more:
        return statement("store_batch").run(connection, **batch)
    with connection.transaction():
        result = statement("store_batch").run(connection, **batch)
        with _by_key(connection):
            for name, tables in more.items():
                statement(name).run(connection, **tables)
    return result


_WIDTHS = {4: struct.Struct(">i"), 8: struct.Struct(">q")}


def _number(data: bytes | None) -> int:
    assert data is not None
    number: int = _WIDTHS[len(data)].unpack(data)[0]
    return number
