"""Memos of lab machines (docs/adr/0031): outputs that may be reused for the input of a leased job.

A machine reads and stores only memos of its own job's tenant and input. It stores only what it could hand in as the job's
result: its files are those that it uploaded. A result that it hands in as reused must name the run that the memo is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.lease_store import LeaseView
from connectors.memos import memo_key, memo_name
from connectors.objects import ObjectStore
from gateway.lab_request import LabRequest, claims_in
from schemas.avsc import result_schema
from schemas.codec import Codec
from schemas.contract import contract
from schemas.envelope import result_of
from schemas.errors import InvalidInput, UndecodableRecord
from schemas.records import JobHeader, ResultInfo
from schemas.states import Disposition
from streams.settings import Settings

File = tuple[str, str, int]


class LabMemos:
    """The memos of one leased job. Raises StoreUnavailable, and Unreachable of the registry."""

    def __init__(self, settings: Settings, codec: Codec, objects: ObjectStore, lease: LeaseView) -> None:
        self._settings = settings
        self._codec = codec
        self._objects = objects
        self._lease = lease
        self._request = LabRequest(lease, codec)

    def find(self, key: str) -> bytes | None:
        """Return a memo; None if there is none, or one of its files is gone."""
        name = self._name(key)
        data = None if name is None else self._objects.get_named(name)
        plain = None if data is None else self._decoded(data)
        if plain is None or not all(self._objects.has(claim) for claim in claims_in(_said(plain))):
            return None
        return data

    def uploads_in(self, key: str, data: bytes) -> set[File]:
        """Return the files that a memo to store claims besides those of the input. Raises InvalidInput for one that is not of
        this job."""
        plain, header = self._decoded(data), self._request.header
        if plain is None or header is None:
            raise InvalidInput("The memo can't be decoded as a result of the job's processor.")
        try:
            result = result_of(contract(self._lease.processor), plain)
        except UndecodableRecord as error:
            raise InvalidInput("The memo is not a result of the job's processor.") from error
        if result.header != _bare(header) or result.result.disposition != Disposition.SUCCEEDED:
            raise InvalidInput("The memo is not a success of the leased job.")
        if key != _key(self._lease, result.result):
            raise InvalidInput("The memo's name is not that of its model and code.")
        return self._request.uploads_in(_said(plain))

    def keep(self, key: str, data: bytes) -> None:
        name = self._name(key)
        if name is not None:
            self._objects.put_named(name, data)

    def reused(self, info: ResultInfo) -> set[File]:
        """Return the files that a reused result may claim. Raises InvalidInput unless it names the run that the memo is of."""
        name = self._name(_key(self._lease, info))
        data = None if name is None else self._objects.get_named(name)
        plain = None if data is None else self._decoded(data)
        if plain is None or info.reused_from != f"{plain['header']['job_id']}:{plain['header']['run']}":
            raise InvalidInput("The result says that it was reused, and there is no such output.")
        return {(claim.uri, claim.sha256, claim.size) for claim in claims_in(_said(plain))}

    def _name(self, key: str) -> str | None:
        header = self._request.header
        return (
            memo_name(header.tenant, header.input_sha256, key) if header is not None and header.input_sha256 else None
        )

    def _decoded(self, data: bytes) -> Mapping[str, Any] | None:
        made, topic = contract(self._lease.processor), self._settings.topics.results(self._lease.processor)
        try:
            return self._codec.decode(data, self._codec.encoder(f"{topic}-value", result_schema(made)).parsed)
        except UndecodableRecord:
            return None


def _said(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {"output": plain["output"], "refs": plain["result"]["output_refs"]}


def _key(lease: LeaseView, info: ResultInfo) -> str:
    return memo_key(lease.processor, info.model_version, info.model_sha256, info.code_version)


def _bare(header: JobHeader) -> JobHeader:
    """Return the header of a job's memo, as the worker's ResultWriter makes it."""
    job_id, processor, at, input_ = header.job_id, header.processor, header.created_at, header.input_sha256
    return JobHeader(job_id, processor, at, input_, run=header.run, tenant=header.tenant)
