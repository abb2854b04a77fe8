"""Postgres' errors as ours: what is gone for now, and what never fits."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from connectors.postgres.connection import translated
from connectors.store import Unstorable
from schemas.errors import SluiceError, Unreachable


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (errors.ProgramLimitExceeded("index row size"), Unstorable),
        (errors.StatementTooComplex("stack depth"), Unstorable),
        (errors.NumericValueOutOfRange("integer"), Unstorable),
        (psycopg.OperationalError("the connection was lost"), Unreachable),
        (errors.AdminShutdown("bye"), Unreachable),
    ],
)
def test_what_has_no_room_is_not_taken_for_a_database_that_is_away(
    error: psycopg.Error, ours: type[SluiceError]
) -> None:
    with pytest.raises(ours), translated("storing orders"):
        raise error
