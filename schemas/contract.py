"""A processor's contract: its name and its input and output types, light enough for a program that only submits jobs.

Contracts are entry points of the group `sluice.contracts`, or of `sluice.optional-contracts`: an installation serves those only
if SLUICE_PROCESSORS names them. The class that does the work is an entry point of `sluice.processors` with the same name; only
workers import it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from schemas.errors import StartupError, UnknownProcessor
from schemas.states import Custody, Lane

I_ = TypeVar("I_")
O_ = TypeVar("O_")

NAME = re.compile(r"[a-z][a-z0-9-]{0,47}")  # of the whole name
AVRO_DIR = Path(__file__).parent / "avro"


@dataclass(frozen=True, slots=True)
class ProcessorContract(Generic[I_, O_]):
    """`avro_dir` has `<Name>Request.avsc` and `<Name>Result.avsc`. `custody`: how a worker gets a job, `offset` (its
    group reads the topic) or `lease` (the sink stores it and any idle worker claims it); the processor's policy must agree.
    An installation may override it: everything asks `Settings.custody`. `light`: a job takes less CPU time than the engine
    spends on it, and no device, so that `sluice up` starts several workers where there are cores for them."""

    name: str
    input: type[I_]
    output: type[O_]
    avro_dir: Path = AVRO_DIR
    custody: str = Custody.OFFSET.value
    light: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == Lane.BULK:
            raise ValueError(f"{self.name!r} is no processor name: {NAME.pattern}, and not 'bulk'")
        if self.custody not in (Custody.OFFSET, Custody.LEASE):
            raise ValueError(f"The custody of {self.name!r} is {self.custody!r}; it is offset or lease.")

    @property
    def camel(self) -> str:
        """Return the name in the form of Avro records: gene-expression → GeneExpression."""
        return "".join(part.capitalize() for part in self.name.split("-"))


AnyContract = ProcessorContract[Any, Any]


DEFAULT_GROUP, OPTIONAL_GROUP = "sluice.contracts", "sluice.optional-contracts"


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for group in (OPTIONAL_GROUP, DEFAULT_GROUP) for point in entry_points(group=group)}


#: Contracts without an entry point, made known by `installed`.
_temporary: dict[str, AnyContract] = {}


@contextmanager
def installed(*contracts: AnyContract) -> Iterator[None]:
    """Make contracts known by name as if their packages were installed (docs/testing.md). Not thread-safe."""
    before = dict(_temporary)
    _temporary.update({contract.name: contract for contract in contracts})
    try:
        yield
    finally:
        _temporary.clear()
        _temporary.update(before)


def known_processors() -> list[str]:
    """Return the names of all installed processors, sorted, without importing them."""
    return sorted(_entry_points().keys() | _temporary.keys())


def default_processors() -> list[str]:
    """Return the names of the processors that an installation serves unless SLUICE_PROCESSORS names others, sorted."""
    return [name for name in known_processors() if name in _temporary or _entry_points()[name].group == DEFAULT_GROUP]


def contract(name: str) -> AnyContract:
    """Return the contract `name`. Raises UnknownProcessor with the nearest name, StartupError if its module is broken."""
    if name in _temporary:
        return _temporary[name]
    point = _entry_points().get(name)
    if point is None:
        raise unknown_processor(name)
    try:
        loaded = point.load()
    except Exception as error:
        raise StartupError(
            f"The contract of processor {name!r} ({point.value}) can't be imported: {type(error).__name__}: {error}."
        ) from error
    assert isinstance(loaded, ProcessorContract)
    return loaded


def unknown_processor(name: str, served: Sequence[str] = ()) -> UnknownProcessor:
    """Return the error for an unknown name, with the nearest known one. `served`: those to suggest; default: all."""
    known = list(served) or known_processors()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return UnknownProcessor(
        f"There is no processor {name[:60]!r}.",
        next_step=f"{hint}{'Served' if served else 'Installed'}: {', '.join(known) or 'none'}.",
    )
