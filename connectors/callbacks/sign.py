"""Standard Webhooks signatures, with two secrets at once while a key is being rotated.

The same bytes as the `standardwebhooks` library (a test compares them), but from bytes to bytes and for a list of secrets:
the library takes one secret per object and a str body, which would decode every body only to encode it again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from schemas.errors import UsageError

_PREFIX = "whsec_"


class Signer:
    """`secrets`: newest first, as `whsec_<base64>` or bare base64. None at all means callbacks go unsigned."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(_key(secret) for secret in secrets)

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers; the id stays the same over all tries, so that a receiver can tell a repetition."""
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if self._keys:
            headers["webhook-signature"] = self._signature(message_id, timestamp, body)
        return headers

    def _signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        return " ".join(_sign(key, signed) for key in self._keys)


def _sign(key: bytes, signed: bytes) -> str:
    return "v1," + binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False).decode()


def _key(secret: str) -> bytes:
    try:
        # Unpadded base64 is common in consoles; surplus padding is harmless.
        key = base64.b64decode(secret.removeprefix(_PREFIX) + "==", validate=False)
    except binascii.Error as error:
        raise _bad_secret() from error
    if not key:
        raise _bad_secret()
    return key


def _bad_secret() -> UsageError:
    # The secret itself never goes into a message: messages end in logs.
    return UsageError(
        "A webhook secret is empty or not base64.",
        next_step="Use whsec_ followed by base64 of 24 to 64 random bytes.",
    )
