"""Translates SLUICE_KAFKA_CONFIG, librdkafka's properties, to what Faust's client needs to connect."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT, SASLMechanism

from schemas.errors import StartupError

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
#: The properties of a secured connection that are translated; every other property of these families is refused.
_KNOWN = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
}
_FAMILIES = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.")


def credentials(config: Mapping[str, str | int]) -> CredentialsT | None:
    """Return Faust's credentials; None for a connection without any. Raises StartupError for what has no counterpart.

    Properties that only tune librdkafka are ignored.
    """
    if unknown := sorted(name for name in config if name.startswith(_FAMILIES) and name not in _KNOWN):
        raise _refused(
            f"the property {unknown[0]!r}", "The workers and the sink may use it; the router needs another way."
        )
    protocol = str(config.get("security.protocol", "PLAINTEXT")).upper()
    if protocol not in _PROTOCOLS:
        raise _refused(f"security.protocol={protocol}", f"It knows {', '.join(_PROTOCOLS)}.")
    context = _context(config) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        mechanism = str(config.get("sasl.mechanism") or config.get("sasl.mechanisms") or "").upper()
        if mechanism not in _MECHANISMS:
            raise _refused(f"sasl.mechanism={mechanism or '(none)'}", f"It knows {', '.join(_MECHANISMS)}.")
        return SASLCredentials(
            username=str(config.get("sasl.username", "")),
            password=str(config.get("sasl.password", "")),
            mechanism=SASLMechanism(mechanism),
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _context(config: Mapping[str, str | int]) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cafile=_text(config, "ssl.ca.location"), cadata=_text(config, "ssl.ca.pem"))
        if (certificate := _text(config, "ssl.certificate.location")) is not None:
            made.load_cert_chain(certificate, _text(config, "ssl.key.location"), _text(config, "ssl.key.password"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise StartupError(
            f"The router can't load the certificates of SLUICE_KAFKA_CONFIG: {type(error).__name__}.",
            next_step="Check ssl.ca.location, ssl.certificate.location, ssl.key.location and ssl.key.password.",
        ) from error
    verify = str(config.get("enable.ssl.certificate.verification", "true")).lower() == "true"
    if not verify or str(config.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        made.check_hostname = False
    if not verify:
        made.verify_mode = ssl.CERT_NONE
    return made


def _text(config: Mapping[str, str | int], name: str) -> str | None:
    value = config.get(name)
    return None if value is None else str(value)


def _refused(what: str, step: str) -> StartupError:
    return StartupError(f"The router's Kafka client can't use {what} of SLUICE_KAFKA_CONFIG.", next_step=step)
