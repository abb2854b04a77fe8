"""Encodes a processor's input and a job's options as a request record, and refuses what can't be sent.

Everything possible is prepared once: a job costs a producer about 20 µs, and most of them are spent here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from connectors.callbacks.resolve import split_url
from schemas.avsc import request_schema
from schemas.codec import Codec
from schemas.contract import AnyContract
from schemas.envelope import typed_input
from schemas.errors import InvalidInput, PayloadTooLarge, UsageError
from schemas.ids import derived_id, new_id
from schemas.plain import to_plain
from schemas.ranges import OutOfRange, number_check
from schemas.records import Claim, JobHeader
from schemas.topics import LONGEST_WAIT
from streams.client.job_options import check_options

#: A larger input is not sent through the log: it goes to the object store, and the job carries a claim on it.
MAX_INPUT_BYTES = 256 * 1024


class RequestEncoder:
    """Encodes the requests of one processor and lane. Safe to share between threads."""

    def __init__(self, contract_: AnyContract, topic: str, codec: Codec, register: bool) -> None:
        self.topic = topic
        self._contract = contract_
        self._encoder = codec.encoder(f"{topic}-value", request_schema(contract_), register=register)
        hints = {field.name: str(field.type) for field in fields(contract_.input)}
        self._claims = [name for name, hint in hints.items() if "Claim" in hint]
        self._check_finite = number_check(self._encoder.type_of("input"), finite=True)

    def encode(
        self, input_: Any, options: Mapping[str, Any], key_space: str = "", job_id: str | None = None
    ) -> tuple[JobHeader, list[Claim], bytes]:
        """Return the job's header, the claims of its input, and the framed request. `key_space`: see `derived_id`.

        `job_id`: the job's id, where the caller derives it itself.

        Raises InvalidInput, PayloadTooLarge, UsageError.
        """
        typed = typed_input(self._contract, input_) if isinstance(input_, Mapping) else input_
        if not isinstance(typed, self._contract.input):
            raise InvalidInput(
                f"The input of {self._contract.name!r} is a {type(typed).__name__}.",
                next_step=f"Give a {self._contract.input.__name__} or a mapping with its fields.",
            )
        plain = to_plain(typed)
        try:
            self._check_finite(plain)
        except OutOfRange as error:
            raise InvalidInput(f"The input of {self._contract.name!r} can't be sent: {error}.") from error
        header = self._header(self._checked_hash(plain), options, key_space, job_id)
        value = self._encoder.encode({"header": to_plain(header), "input": plain})
        return header, [claim for name in self._claims for claim in _claims_in(getattr(typed, name))], value

    def _checked_hash(self, plain: dict[str, Any]) -> str:
        """Return the input's hash, as schemas.envelope.input_hash does, encoding once for the hash and the size check."""
        encoded = self._encoder.encode_field("input", plain)
        if len(encoded) > MAX_INPUT_BYTES:
            raise PayloadTooLarge(
                f"The input has {len(encoded)} bytes; at most {MAX_INPUT_BYTES} can be sent through the log.",
                next_step="Upload the file with `sluice upload FILE` and submit the claim it prints.",
            )
        return hashlib.sha256(encoded).hexdigest()

    def _header(self, input_sha256: str, options: Mapping[str, Any], key_space: str, job_id: str | None) -> JobHeader:
        check_options(options)
        if None in options.values():
            options = {name: value for name, value in options.items() if value is not None}
        name, key, tenant = self._contract.name, options.get("idempotency_key"), options.get("tenant", "default")
        if (url := options.get("callback_url")) is not None:
            _check_callback(url)
        _refuse_naive("deadline", options.get("deadline"))
        if "custody" in options:
            options = self._without_custody(options)
        now = datetime.now(UTC)
        if (not_before := options.get("not_before")) is not None:
            options = {**options, "not_before": _checked_time(not_before, now, options)}
        if job_id is None:
            job_id = derived_id(tenant, name, key, key_space) if key is not None else new_id()
        return JobHeader(
            job_id=job_id,
            processor=name,
            created_at=now,
            input_sha256=input_sha256,
            custody=self._contract.custody,
            **options,
        )

    def _without_custody(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Remove the option, which only the processor's contract sets: no worker looks for a job kept otherwise."""
        requested, offered = options["custody"], self._contract.custody
        if requested != offered:
            raise UsageError(
                f"custody={requested!r} is not offered: jobs of {self._contract.name!r} are kept by {offered}.",
                next_step="Leave it out.",
            )
        return {name: value for name, value in options.items() if name != "custody"}


@lru_cache(maxsize=1024)
def _check_callback(url: str) -> None:
    """Cached, because a backend gives the same URL with every job. Raises InvalidInput."""
    split_url(url)


def _claims_in(value: Any) -> list[Claim]:
    values = value if isinstance(value, list) else [value]
    return [claim for claim in values if isinstance(claim, Claim)]


def _refuse_naive(name: str, when: datetime | None) -> None:
    if when is not None and not isinstance(when, datetime):
        raise UsageError(f"{name} is a {type(when).__name__}; it takes a datetime with a time zone.")
    if when is not None and when.tzinfo is None:
        raise UsageError(f"{name} has no time zone.", next_step="Give it in UTC: datetime.now(UTC) + timedelta(…).")


def _checked_time(not_before: datetime, now: datetime, options: Mapping[str, Any]) -> datetime | None:
    """Return the time before which the job must not run, None if it has passed already. Raises UsageError."""
    _refuse_naive("not_before", not_before)
    deadline = options.get("deadline")
    if deadline is not None and deadline <= not_before:
        raise UsageError("The deadline is before the job may start (not_before).", next_step="Give a later deadline.")
    if options.get("order_key") is not None:
        raise UsageError(
            "A job with an order_key can't have a not_before: it would block or overtake the jobs of its key.",
            next_step="Leave out one of them.",
        )
    if not_before - now > LONGEST_WAIT:
        raise UsageError(
            f"not_before is more than {LONGEST_WAIT.days} days ahead; by then the log may have deleted the request.",
            next_step="Submit the job later.",
        )
    return not_before if not_before > now else None
