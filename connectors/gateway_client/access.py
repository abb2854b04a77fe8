"""Which gateway a machine uses, and what it shows to be let in."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schemas.errors import UsageError


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """`token`: "" for none. `ca`: file of authorities that are trusted besides no others; None: the system's. `certificate`,
    `key`: files of a client certificate (mutual TLS); None: none. Raises UsageError for a url that is no http(s) address.
    """

    url: str
    token: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            # Reading an invalid port raises ValueError.
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                "The gateway's address is not an http:// or https:// URL without credentials.",
                next_step="Give for example https://sluice.example.org, and the token in SLUICE_GATEWAY_TOKEN.",
            )

    def tls(self) -> ssl.SSLContext:
        """Return the TLS settings. Raises UsageError for a file that can't be used."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"The TLS files can't be used: {type(error).__name__}.",
                next_step="Check SLUICE_WORKER_CA, SLUICE_WORKER_CERTIFICATE and SLUICE_WORKER_KEY: PEM files, readable by "
                "this user, the key without a passphrase and belonging to the certificate.",
            ) from error
        return context
