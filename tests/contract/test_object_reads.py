"""Reading a stored object in pieces, on a local folder and in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.claim_store import ClaimStore
from connectors.objects import ObjectStore
from schemas.errors import ClaimMismatch, InvalidInput

HELLO = hashlib.sha256(b"hello").hexdigest()


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ClaimStore:
    return ObjectStore(tmp_path.as_uri() if request.param == "file" else "memory://")


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 3 << 20), (1, None), (1 << 20, (2 << 20) + 5), (7, 7)])
def test_stored_bytes_can_be_read_in_pieces_from_any_place(store: ClaimStore, start: int, stop: int | None) -> None:
    data = os.urandom(3 << 20)
    assert b"".join(store.read(store.put_bytes(data), start, stop)) == data[start:stop]


def test_reading_altered_bytes_ends_in_a_mismatch_before_the_last_of_them(store: ClaimStore) -> None:
    data = os.urandom(3 << 20)
    claim = replace(store.put_bytes(data), sha256=HELLO)
    read = bytearray()
    with pytest.raises(ClaimMismatch):
        list(map(read.extend, store.read(claim)))
    assert len(read) < len(data)
    with pytest.raises(InvalidInput):
        next(store.read(replace(claim, uri="file:///etc/passwd")))
