"""Standard Webhooks signatures, with several secrets at once while a key is being rotated.

Signs the same bytes as the `standardwebhooks` library (a test compares them), but takes bytes and a list of secrets. The
library takes one secret per object and a str body, so every body would be decoded only to be encoded again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence

from schemas.errors import UsageError

_PREFIX = "whsec_"


class Signer:
    """`secrets`: newest first, as `whsec_<base64>` or plain base64. Without secrets, callbacks are not signed."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(_key(secret) for secret in secrets)

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the three headers. The id is the same in all tries, so that a receiver can detect repetitions."""
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if self._keys:
            headers["webhook-signature"] = self._signature(message_id, timestamp, body)
        return headers

    def headers_of_parts(self, message_id: str, timestamp: int, parts: Iterable[bytes]) -> dict[str, str]:
        """Do as `headers` for a body that is never in memory as a whole."""
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
        if self._keys:
            begin = b"%b.%d." % (message_id.encode(), timestamp)
            digests = [hmac.new(key, begin, "sha256") for key in self._keys]
            for part in parts:
                for digest in digests:
                    digest.update(part)
            headers["webhook-signature"] = " ".join(map(_versioned, (digest.digest() for digest in digests)))
        return headers

    def _signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
        return " ".join(_sign(key, signed) for key in self._keys)


def _sign(key: bytes, signed: bytes) -> str:
    return _versioned(hmac.digest(key, signed, "sha256"))


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
