"""The router's client: credentials, its name in the group, its log lines, and what it refuses at its start."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import uuid
from pathlib import Path

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr

from schemas.errors import StartupError, UsageError
from streams.admin.group_offsets import router_group
from streams.router.credentials import credentials
from streams.router.driver import log_with_structlog
from streams.router.service import Router, member_name
from streams.settings import Settings
from tests.unit.streams.router.kit import RULES, rules


def test_a_connection_without_security_has_no_credentials() -> None:
    assert credentials({}) is None
    assert credentials({"security.protocol": "plaintext", "max.poll.interval.ms": 5}) is None


def test_sasl_with_and_without_tls() -> None:
    login: dict[str, str | int] = {"sasl.username": "u", "sasl.password": "secret"}
    plain = credentials({**login, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"})
    assert isinstance(plain, SASLCredentials)
    assert (plain.username, plain.password, plain.ssl_context, plain.protocol.value) == (
        "u",
        "secret",
        None,
        "SASL_PLAINTEXT",
    )
    scram = credentials({**login, "security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512"})
    assert isinstance(scram, SASLCredentials)
    assert (scram.protocol.value, scram.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")


def test_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=x",
        ],
        check=True,
        capture_output=True,
    )
    made = credentials(
        {
            "security.protocol": "ssl",
            "ssl.ca.location": str(certificate),
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
            "ssl.endpoint.identification.algorithm": "none",
        }
    )
    assert isinstance(made, SSLCredentials)
    context = made.context
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)
    assert len(context.get_ca_certs()) == 1
    unchecked = credentials({"security.protocol": "ssl", "enable.ssl.certificate.verification": "false"})
    assert isinstance(unchecked, SSLCredentials)
    assert isinstance(unchecked.context, ssl.SSLContext)
    assert unchecked.context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "sasl.mechanism=GSSAPI"),
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism=(none)"),
        ({"security.protocol": "SASL_SSL", "sasl.oauthbearer.config": "x"}, "sasl.oauthbearer.config"),
        ({"security.protocol": "QUIC"}, "security.protocol=QUIC"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere"}, "can't load the certificates"),
    ],
)
def test_what_faust_can_not_do_is_an_error_at_the_start_without_the_secret(
    config: dict[str, str | int], named: str
) -> None:
    with pytest.raises(StartupError) as raised:
        credentials({**config, "sasl.password": "secret"})
    assert named in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_router_keeps_its_name_and_two_have_different_ones(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    group = router_group(settings, rules())
    with member_name(settings, group) as first, member_name(settings, group) as second:
        assert first != second
    with member_name(settings, group) as again:
        assert again == first
    other = router_group(settings, rules('[[upload]]\nname = "r"\nsubmit = [{ processor = "echo" }]'))
    with member_name(settings, other) as changed:
        assert changed != first


def test_faust_logs_where_we_log_and_quotes_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    log_with_structlog()
    try:
        raise ValueError("case 4711")
    except ValueError as error:
        logging.getLogger("faust.agents").error("Agent failed on %r: %r", b"case 4711", error, exc_info=error)
    logging.getLogger("aiokafka.consumer").warning("Heartbeat failed for group %s", "router")
    logging.getLogger("mode.timers").info("not a warning")
    agent, heartbeat = map(json.loads, capsys.readouterr().err.splitlines())
    assert (agent["event"], agent["error"], agent["level"]) == ("faust_message", "ValueError", "error")
    assert "4711" not in json.dumps(agent)
    assert heartbeat["message"] == "Heartbeat failed for group router"


def test_a_router_needs_rules_and_a_real_log(tmp_path: Path) -> None:
    name = f"memory:{uuid.uuid4().hex}"
    addresses = {"kafka_bootstrap_servers": name, "schema_registry_url": name, "database_url": SecretStr(name)}
    with pytest.raises(UsageError, match="SLUICE_ROUTER_RULES is not set"):
        Router(Settings.model_validate({**addresses, "home": tmp_path}))
    (tmp_path / "rules.toml").write_text(RULES)
    made = Settings.model_validate({**addresses, "home": tmp_path, "router_rules": tmp_path / "rules.toml"})
    with pytest.raises(UsageError, match="a log in memory"):
        Router(made)


def test_a_router_that_has_not_started_says_so(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    router = Router(
        Settings(kafka_bootstrap_servers="127.0.0.1:1", home=tmp_path, router_rules=tmp_path / "rules.toml")
    )
    health = router.health(ask=False)
    assert (health.alive, health.ready) == (True, False)
    assert health.details["rules"] == 3
