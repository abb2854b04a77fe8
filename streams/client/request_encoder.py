"""Turns a processor's input and a job's options into the request that travels; whatever can't travel is refused here.

All that can be is prepared once, because a job costs a producer some twenty microseconds and most of them are spent here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
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
from schemas.records import Claim, JobHeader
from streams.client.job_options import check_texts

#: A larger input does not travel in the log: it goes to the object store, and a claim on it travels.
MAX_INPUT_BYTES = 256 * 1024
#: Requests are kept for 14 days (schemas.topics), and it is from there that a waiting one is read again.
LONGEST_WAIT = timedelta(days=13)


class RequestEncoder:
    """One lane of one processor. Safe to share between threads."""

    def __init__(self, contract_: AnyContract, topic: str, codec: Codec, register: bool) -> None:
        self.topic = topic
        self._contract = contract_
        self._encoder = codec.encoder(f"{topic}-value", request_schema(contract_), register=register)
        hints = {field.name: str(field.type) for field in fields(contract_.input)}
        self._claims = [name for name, hint in hints.items() if "Claim" in hint]
        self._floats = [name for name, hint in hints.items() if "float" in hint]

    def encode(self, input_: Any, options: Mapping[str, Any]) -> tuple[JobHeader, list[str], bytes]:
        """The job's header, the uris its input claims, and the framed request. Raises InvalidInput, PayloadTooLarge."""
        typed = typed_input(self._contract, input_) if isinstance(input_, Mapping) else input_
        if not isinstance(typed, self._contract.input):
            raise InvalidInput(
                f"The input of {self._contract.name!r} is a {type(typed).__name__}.",
                next_step=f"Give a {self._contract.input.__name__} or a mapping with its fields.",
            )
        self._refuse_what_is_no_number(typed)
        plain = to_plain(typed)
        header = self._header(self._checked_hash(plain), options)
        value = self._encoder.encode({"header": to_plain(header), "input": plain})
        return header, [uri for name in self._claims for uri in _uris(getattr(typed, name))], value

    def _checked_hash(self, plain: dict[str, Any]) -> str:
        """As schemas.envelope.input_hash, encoding once for the hash and the size."""
        encoded = self._encoder.encode_field("input", plain)
        if len(encoded) > MAX_INPUT_BYTES:
            raise PayloadTooLarge(
                f"The input has {len(encoded)} bytes; {MAX_INPUT_BYTES} travel in the log.",
                next_step="Hand the file in with `sluice upload FILE` and submit the claim it prints.",
            )
        return hashlib.sha256(encoded).hexdigest()

    def _header(self, input_sha256: str, options: Mapping[str, Any]) -> JobHeader:
        check_texts(options)
        name, key, tenant = self._contract.name, options.get("idempotency_key"), options.get("tenant", "default")
        if (url := options.get("callback_url")) is not None:
            _check_callback(url)
        _refuse_naive("deadline", options.get("deadline"))
        _refuse_what_nobody_would_do(options)
        if "custody" in options:
            options = self._without_custody(options)
        now = datetime.now(UTC)
        if (not_before := options.get("not_before")) is not None:
            options = {**options, "not_before": _checked_time(not_before, now, options)}
        try:
            return JobHeader(
                job_id=derived_id(tenant, name, key) if key is not None else new_id(),
                processor=name,
                created_at=now,
                input_sha256=input_sha256,
                custody=self._contract.custody,
                **options,
            )
        except TypeError as error:
            raise UsageError(f"An option is not one of a job's: {error}.") from error

    def _without_custody(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """It is the processor's, for all of its jobs: nobody would look for one that is kept elsewhere."""
        given, ours = options["custody"], self._contract.custody
        if given != ours:
            raise UsageError(
                f"custody={given!r} is not offered: jobs of {self._contract.name!r} are kept by {ours}.",
                next_step="Leave it out.",
            )
        return {name: value for name, value in options.items() if name != "custody"}

    def _refuse_what_is_no_number(self, typed: Any) -> None:
        for name in self._floats:
            value = getattr(typed, name)
            try:
                finite = math.isfinite(sum(value) if isinstance(value, list) else value or 0.0)
            except TypeError as error:
                raise InvalidInput(f"{name!r} of {self._contract.name!r} takes numbers: {error}.") from error
            if not finite:
                raise InvalidInput(f"{name!r} of {self._contract.name!r} contains NaN or infinity.")


@lru_cache(maxsize=1024)
def _check_callback(url: str) -> None:
    """Remembered, because a backend gives the same one with every job. Raises InvalidInput."""
    split_url(url)


def _uris(value: Any) -> list[str]:
    claims = value if isinstance(value, list) else [value]
    return [claim.uri for claim in claims if isinstance(claim, Claim)]


#: What the door takes of these; the rest of the contract is for parts that do not exist yet, and would be ignored.
_OFFERED = {"mode": ("live",), "run": (0,), "attempt": (1,)}
_POSITIVE = ("max_attempts", "soft_limit_ms", "hard_limit_ms")


def _refuse_what_nobody_would_do(options: Mapping[str, Any]) -> None:
    """An option that is accepted and then ignored would break the promise in silence."""
    for name in options.keys() & _OFFERED.keys():
        if options[name] not in _OFFERED[name]:
            raise UsageError(f"{name}={options[name]!r} is not offered.", next_step="Leave it out.")
    for name in _POSITIVE:
        if (value := options.get(name)) is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, it is {value!r}.")


def _refuse_naive(name: str, when: datetime | None) -> None:
    if when is not None and when.tzinfo is None:
        raise UsageError(f"{name} has no time zone.", next_step="Give it in UTC: datetime.now(UTC) + timedelta(…).")


def _checked_time(not_before: datetime, now: datetime, options: Mapping[str, Any]) -> datetime | None:
    """The time before which the job must not run; None when that is no wait any more. Raises UsageError."""
    _refuse_naive("not_before", not_before)
    deadline = options.get("deadline")
    if deadline is not None and deadline <= not_before:
        raise UsageError("The deadline passes before the job may begin (not_before).", next_step="Give it more time.")
    if options.get("order_key") is not None:
        raise UsageError("A job with an order_key can't have a not_before: it would hold up or overtake its order.")
    if not_before - now > LONGEST_WAIT:
        raise UsageError(
            f"not_before is more than {LONGEST_WAIT.days} days ahead; by then the log may have forgotten the request.",
            next_step="Submit it later.",
        )
    return not_before if not_before > now else None
