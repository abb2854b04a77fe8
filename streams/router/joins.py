"""The join as a pure state machine: which parts of a case are there, and whether they make a new job.

For each case (of one tenant), rule and source the newest part counts: the outcome or upload with the greatest (created_at,
id, run). A combination of parts is submitted once; a newer part makes a new combination. State is kept per part, so that
a router that lost its partition can't overwrite another source's part.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from schemas.errors import UndecodableRecord

#: Place of the submitted combination among a join's keys, where the others have a source's name.
DONE = ""


class CaseKey(NamedTuple):
    """A case of a tenant within a rule."""

    tenant: str
    case_id: str
    rule: str

    def of(self, source: str) -> bytes:
        """Return the key of a part in the joins' state."""
        return json.dumps([*self, source], ensure_ascii=False).encode()

    @property
    def partitioner(self) -> bytes:
        """Return the key that brings all parts of a case into one partition."""
        return f"{self.tenant}\0{self.case_id}".encode()


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an outcome or an upload that a join keeps.

    `id`: `job:run` or the upload's id. `order`: the greatest is the newest. `values`: those that the rule's templates use, by
    path.
    """

    id: str
    order: tuple[str, str, int]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part on its way to the router that owns its case."""

    case: CaseKey
    source: str
    part: Part

    def encode(self) -> bytes:
        return dump({"case": list(self.case), "source": self.source, "part": asdict(self.part)})

    @staticmethod
    def decode(data: bytes) -> Piece:
        """Raises UndecodableRecord."""
        try:
            plain = load(data)
            return Piece(CaseKey(*plain["case"]), plain["source"], part_of(plain["part"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UndecodableRecord(f"The record is no part of a join: {type(error).__name__}.") from error


class Joined(NamedTuple):
    """A complete combination. `key` identifies it among those of its case and rule."""

    parts: Mapping[str, Part]
    key: str


class Step(NamedTuple):
    """Result of adding a piece. `part`: to be kept, None if a newer one or the same is there. `joined`: to be submitted."""

    part: Part | None
    joined: Joined | None


def add(piece: Piece, sources: Sequence[str], known: Callable[[str], Part | None], done: str | None) -> Step:
    """Return what a piece leads to. `known` returns the part of a source; `done`: key of the last combination submitted."""
    current = known(piece.source)
    if piece.source not in sources or (current is not None and current.order > piece.part.order):
        return Step(None, None)
    newest = piece.part if current is None or piece.part.order > current.order else current
    parts = {source: newest if source == piece.source else known(source) for source in sources}
    present = {source: part for source, part in parts.items() if part is not None}
    joined = None
    if len(present) == len(sources) and (key := combination(present)) != done:
        joined = Joined(present, key)
    return Step(None if newest is current else newest, joined)


def combination(parts: Mapping[str, Part]) -> str:
    """Return a key that is the same for the same parts."""
    text = "\0".join(f"{source}\0{parts[source].id}" for source in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def part_of(plain: Mapping[str, Any]) -> Part:
    """Raises KeyError, TypeError, ValueError."""
    created_at, id_, run = plain["order"]
    return Part(str(plain["id"]), (str(created_at), str(id_), int(run)), dict(plain["values"]))


def dump(value: Any) -> bytes:
    """Encode plain data as JSON; types that JSON lacks keep their type."""
    return json.dumps(value, default=_tagged, ensure_ascii=False, separators=(",", ":")).encode()


def load(data: bytes) -> Any:
    """Raises ValueError, KeyError, TypeError."""
    return json.loads(data, object_hook=_untagged)


def _tagged(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    for name, kind in _TIMES.items():  # a datetime is a date, so it comes first
        if isinstance(value, kind):
            return {name: value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    raise TypeError(f"a {type(value).__name__} can't be kept")


_TIMES: dict[str, Any] = {"$datetime": datetime, "$date": date, "$time": time}


def _untagged(plain: dict[str, Any]) -> Any:
    if len(plain) == 1:
        ((name, value),) = plain.items()
        if name == "$bytes":
            return base64.b64decode(value)
        if name in _TIMES:
            return _TIMES[name].fromisoformat(value)
        if name == "$decimal":
            return Decimal(value)
    return plain
