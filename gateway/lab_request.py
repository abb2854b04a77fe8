"""The request of a leased job, as the gateway has it: its header, and the files that the job may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from connectors.lease_store import LeaseView
from schemas.codec import Codec
from schemas.envelope import header_of
from schemas.errors import UndecodableRecord
from schemas.plain import from_plain
from schemas.records import Claim, JobHeader

_CLAIM = frozenset({"uri", "sha256", "size", "content_type"})


class LabRequest:
    """Decodes the request at first use. Raises UnknownSchema and Unreachable of the registry then."""

    def __init__(self, lease: LeaseView, codec: Codec) -> None:
        self._lease = lease
        self._codec = codec

    @property
    def header(self) -> JobHeader | None:
        """The request's header; None if the request can't be decoded."""
        try:
            return header_of(self._plain)
        except UndecodableRecord:
            return None

    def claim(self, sha256: str) -> Claim | None:
        """Return the input's claim with this hash; None if the input has none."""
        return next((claim for claim in claims_in(self._plain.get("input")) if claim.sha256 == sha256), None)

    def uploads_in(self, output: Any) -> set[tuple[str, str, int]]:
        """Return what an output claims besides files of the input: each file's uri, sha256 and size."""
        return _files_in(output) - _files_in(self._plain.get("input"))

    @cached_property
    def _plain(self) -> Mapping[str, Any]:
        try:
            return self._codec.decode(self._lease.value)
        except UndecodableRecord:
            return {}


def _files_in(plain: Any) -> set[tuple[str, str, int]]:
    return {(claim.uri, claim.sha256, claim.size) for claim in claims_in(plain)}


def claims_in(plain: Any) -> Iterator[Claim]:
    """Yield every claim in a decoded value, at any depth."""
    if isinstance(plain, Mapping):
        if plain.keys() >= _CLAIM:
            yield from_plain(Claim, plain)
        for value in plain.values():
            yield from claims_in(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from claims_in(value)
