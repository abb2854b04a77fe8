"""Standard Webhooks signatures, with several secrets at once while a key is being rotated.

Signs the same bytes as the `standardwebhooks` library (a test compares them), but takes bytes and a list of secrets. The
library takes one secret per object and a str body, so every body would be decoded only to be encoded again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from itertools import chain

from schemas.errors import UsageError

_PREFIX = "whsec_"


class Signer:
    """`secrets`: newest first, as `whsec_<base64>` or plain base64. Without secrets, callbacks are not signed."""

    def __init__(self, secrets: Sequence[str]) -> None:
        # Copying a prepared digest costs half of making one.
        self._digests = tuple(hmac.new(_key(secret), digestmod="sha256") for secret in secrets)

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the three headers. The id is the same in all tries, so that a receiver can detect repetitions."""
        return self.headers_of_parts(message_id, timestamp, (body,))

    def headers_of_parts(self, message_id: str, timestamp: int, parts: Iterable[bytes]) -> dict[str, str]:
        """Do as `headers` for a body that is never in memory as a whole."""
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if self._digests:
            digests = [digest.copy() for digest in self._digests]
            for part in chain((f"{message_id}.{timestamp}.".encode(),), parts):
                for digest in digests:
                    digest.update(part)
            headers["webhook-signature"] = " ".join([_versioned(digest.digest()) for digest in digests])
        return headers


def _versioned(digest: bytes) -> str:
    return "v1," + binascii.b2a_base64(digest, newline=False).decode()


def _key(secret: str) -> bytes:
    try:
        # Consoles often show base64 without padding; surplus padding is harmless.
        key = base64.b64decode(secret.removeprefix(_PREFIX) + "==", validate=False)
    except ValueError as error:  # not base64, or not even ASCII
        raise _bad_secret() from error
    if not key:
        raise _bad_secret()
    return key


def _bad_secret() -> UsageError:
    # The message does not contain the secret, because messages are logged.
    return UsageError(
        "A webhook secret is empty or not base64.",
        next_step="Use whsec_ followed by base64 of 24 to 64 random bytes.",
    )
