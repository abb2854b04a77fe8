"""Verifies callbacks: Standard Webhooks signatures (https://www.standardwebhooks.com), with the standard library alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sluice_client.errors import BadSignature, UsageError
from sluice_client.settings import Settings

TOLERANCE_S = 300.0
_log = logging.getLogger("sluice_client")
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback whose signature is right.

    `id` is the same in every attempt of one delivery: store it with the work that the callback starts, in one transaction, and
    answer 2xx without doing anything if it is there already. Answer 410 to receive no more for this destination.
    """

    id: str
    sent_at: datetime
    body: bytes = field(repr=False)

    @property
    def event(self) -> Mapping[str, Any]:
        """The standard event: `type`, `timestamp` and `data`. Raises BadSignature if the body has another shape."""
        try:
            event = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadSignature(
                "The body of the callback is not JSON.", "Read `body`: the shape is a declared one."
            ) from error
        if not isinstance(event, dict):
            raise BadSignature(
                "The body of the callback is not an object.", "Read `body`: the shape is a declared one."
            )
        return event

    @property
    def type(self) -> str:
        """`job.completed`, `job.failed`, `job.cancelled`, `job.expired`, `job.progress` or `batch.completed`."""
        return str(self.event.get("type", ""))

    @property
    def data(self) -> Mapping[str, Any]:
        """Fields of the event: the job's ids, `status`, `output`, `error` and `output_refs`; or the batch."""
        data = self.event.get("data")
        return data if isinstance(data, dict) else {}


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: str | Sequence[str] | None = None,
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> Callback:
    """Return the callback if one of the secrets has signed it. Raises BadSignature: answer 401, and do nothing else.

    `headers`: names in any case. `body`: the bytes as they came; JSON that was parsed and written again has another signature.
    `secrets`: one or several (while a key is rotated); default SLUICE_CALLBACK_SECRETS. `tolerance_s`: a callback that was sent
    longer ago, or so far in the future, is refused, so that a recorded one can't be played back later.
    """
    keys = _keys(Settings.from_environment().callback_secrets if secrets is None else secrets)
    found = {name.lower(): value for name, value in headers.items() if name.lower().startswith("webhook-")}
    message_id, sent, signatures = (found.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent and signatures):
        raise BadSignature("The callback has no signature.", "Set SLUICE_CALLBACK_SECRETS of the installation.")
    sent_at = _timestamp(sent)
    if abs((time.time() if now is None else now) - sent_at) > tolerance_s:
        raise BadSignature(f"The callback was sent more than {tolerance_s:g} s ago or ahead.", "Check both clocks.")
    signed = b"%b.%b.%b" % (message_id.encode(errors="replace"), sent.encode(), body)
    if not _is_signed(signed, keys, signatures):
        raise BadSignature("No secret fits the signature.", "Compare SLUICE_CALLBACK_SECRETS here and there.")
    return Callback(message_id, datetime.fromtimestamp(sent_at, UTC), body)


def refusal(error: BadSignature | UsageError) -> tuple[int, str]:
    """Return status and reason of the answer to a callback that `verify` refuses. Unusable secrets are logged, too."""
    if isinstance(error, BadSignature):
        return 401, error.message
    _log.error("Callbacks can't be verified: %s", error)
    return 500, "This backend can't verify callbacks: its secrets are missing or unusable. Its log says more."


def _is_signed(signed: bytes, keys: Sequence[bytes], signatures: str) -> bool:
    """Compare every signature with every key, in a time that says nothing about how much is right."""
    given = [
        value.encode() for version, _, value in (part.partition(",") for part in signatures.split()) if version == "v1"
    ]
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    return any([hmac.compare_digest(one, other) for one in given for other in expected])  # noqa: C419 - all are compared


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadSignature("The callback's timestamp is not a number of seconds.")
    return int(text)


def _keys(secrets: str | Sequence[str]) -> list[bytes]:
    secrets = [secrets] if isinstance(secrets, str) else secrets
    keys = [_key(secret) for secret in secrets]
    if not keys:
        raise UsageError(
            "There is no secret to verify callbacks with.", "Set SLUICE_CALLBACK_SECRETS, or pass secrets."
        )
    return keys


def _key(secret: str) -> bytes:
    try:
        # Consoles often show base64 without padding; surplus padding is harmless.
        key = base64.b64decode(secret.removeprefix(_PREFIX) + "==")
    except (binascii.Error, ValueError) as error:
        raise UsageError("A callback secret is not base64.", "Use whsec_ and base64.") from error
    if not key:
        raise UsageError("A callback secret is empty.", "Use whsec_ and base64.")
    return key
