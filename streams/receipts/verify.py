"""Verifies an outcome: compares what the store, the log and the object store have of it, and what is installed here.

Each check stands alone, so that one that can't be made hides no other. `rerun.py` runs the job again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from connectors.claim_store import ClaimStore
from connectors.job_store import JobStore
from connectors.views import JobView
from schemas.codec import Codec
from schemas.errors import ClaimMismatch, InvalidInput, SluiceError, UndecodableRecord, Unreachable
from schemas.plain import to_plain
from schemas.records import Claim, Coordinates
from schemas.states import State
from streams.receipts.checks import Comparison, as_json, claims_in, differences, differs, ok, summary, unchecked
from streams.receipts.file_names import fields_by_file
from streams.settings import Settings
from streams.timekeeper.requests import RequestReader

Plain = Mapping[str, Any]

OnStep = Callable[[str], None]


@dataclass(slots=True)
class LoggedRecord:
    """A record of the job in the log. `why`: the reason why there is none to compare with."""

    value: bytes | None = None
    plain: Plain = field(default_factory=dict)
    why: str = ""


class Verifier:
    """Reads the job's records once. `on_step` is called with each thing that is about to be compared."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        store: ClaimStore,
        jobs: JobStore,
        view: JobView,
        *,
        payload: bytes | None = None,
        on_step: OnStep = lambda _: None,
    ) -> None:
        self._codec = codec
        self._store = store
        self._jobs = jobs
        self._view = view
        self._on_step = on_step
        places = [place for place in (view.request, view.result) if place is not None]
        reader = RequestReader(settings, lambda: None)
        try:
            found = reader.read(places)
        finally:
            reader.close()
        self.request = self._record(payload or _value(found.get(view.request)), view.request, "request")
        self.result = self._record(_value(found.get(view.result)), view.result, "result")

    def checks(self) -> Iterator[Comparison]:
        """Yield each check that needs nothing but what is stored."""
        for name, check in (("input", self._input), ("record", self._outcome), ("reused from", self._reused)):
            self._on_step(name)
            made = check()
            if made is not None:
                yield made
        yield from self._files()

    def _record(self, value: bytes | None, place: Coordinates | None, kind: str) -> LoggedRecord:
        if place is None and value is None:
            return LoggedRecord(why=f"the {kind} was never seen in the log")
        if value is None:
            return LoggedRecord(why=f"the {kind} has left the log")
        try:
            plain = self._codec.decode(value)
        except Unreachable:
            raise
        except SluiceError as error:
            return LoggedRecord(why=f"the {kind}'s record can't be decoded ({error.code})")
        header = plain.get("header") or {}
        if (header.get("job_id"), header.get("run")) != (self._view.job_id, self._view.run):
            return LoggedRecord(why=f"another record lies at the {kind}'s place: its topic was made again")
        return LoggedRecord(value, plain)

    def _input(self) -> Comparison:
        """Hash the input of the stored request."""
        receipt, request = self._view.receipt, self.request
        wanted = receipt.input_sha256 if receipt is not None else None
        if request.value is None:
            return unchecked("input", request.why)
        if wanted is None:
            return unchecked("input", "the outcome has no hash of its input: it was erased, or never decoded")
        encoded = self._codec.encoder_like(request.value).encode_field("input", request.plain["input"])
        found = hashlib.sha256(encoded).hexdigest()
        if found == wanted:
            return ok("input", f"sha256 {wanted[:16]}…")
        return differs("input", f"the stored request hashes to {found[:16]}…, the receipt says {wanted[:16]}…")

    def _outcome(self) -> Comparison:
        """Compare the stored row with the record that won."""
        view, plain = self._view, self.result.plain
        if self.result.value is None or "result" not in plain:
            return unchecked("record", self.result.why or "the outcome was made from a dead letter")
        info = plain["result"]
        receipt = view.receipt
        error = info["error"] or {}
        stored = {
            "output": view.output,
            "refs": [to_plain(claim) for claim in view.refs],
            "error": view.error and view.error.code,
            "device": view.device or None,
            "model_version": view.model_version or None,
            "model_sha256": receipt and receipt.model_sha256,
            "code_version": receipt and receipt.code_version,
            "reused_from": receipt and receipt.reused_from,
            "completed": view.state == State.COMPLETED,
        }
        logged = {
            "output": as_json(plain["output"]),
            "refs": info["output_refs"],
            "error": error.get("code"),
            **{name: info.get(name) or None for name in ("device", "model_version", "model_sha256", "code_version")},
            "reused_from": info.get("reused_from"),
            "completed": info["disposition"] == "succeeded",
        }
        found = list(differences(stored, logged))
        place = view.result
        where = "" if place is None else f"{place.topic}[{place.partition}]@{place.offset}"
        return differs("record", f"the row differs from {where}: {summary(found)}") if found else ok("record", where)

    def _reused(self) -> Comparison | None:
        key = self._view.receipt.reused_from if self._view.receipt is not None else None
        if key is None:
            return None
        job_id, _, run = key.rpartition(":")
        first = self._jobs.job(job_id, int(run)) if run.isdigit() else None
        if first is None or first.receipt is None or first.state != State.COMPLETED or first.output is None:
            return unchecked("reused from", f"{key} is no longer stored")
        found = list(differences({"output": self._view.output}, {"output": first.output}))
        return differs("reused from", f"{key}: {summary(found)}") if found else ok("reused from", key)

    def _files(self) -> Iterator[Comparison]:
        names = fields_by_file(self._view.output)
        for claim in {claim.sha256: claim for claim in self._view.refs}.values():
            name = f"file {names.get(claim.sha256) or claim.sha256[:12]}"
            self._on_step(name)
            yield self._file(name, claim, gone=differs)
        for path, claim in claims_in(self.request.plain.get("input")):
            self._on_step(f"input file {path}")
            yield self._file(f"input file {path}", claim, gone=unchecked)

    def _file(self, name: str, claim: Claim, gone: Callable[[str, str], Comparison]) -> Comparison:
        try:
            for _ in self._store.read(claim):
                pass
        except ClaimMismatch:
            return differs(name, "its bytes have another sha256 or size than its claim")
        except (InvalidInput, UndecodableRecord):
            return gone(name, "the file is no longer stored")
        return ok(name, f"{claim.size} bytes, sha256 {claim.sha256[:16]}…")


def _value(message: Message | None) -> bytes | None:
    return None if message is None else message.value()
