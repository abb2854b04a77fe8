"""Resolution of callback URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.callbacks.resolve import backend_origin, resolve_callback_url
from schemas.errors import InvalidInput, UsageError

BACKEND = "http://host.docker.internal:9000"

LOOPBACK = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.8.9.10",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::]",
]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("port", ["", ":8000"])
def test_loopback_means_the_configured_backend(host: str, port: str) -> None:
    assert resolve_callback_url(f"http://{host}{port}/api/ai/callback/", BACKEND) == f"{BACKEND}/api/ai/callback/"


@pytest.mark.parametrize(
    "host", ["backend.example", "10.0.0.7", "localhost.evil.example", "[2001:db8::1]", "128.0.0.1"]
)
def test_any_other_host_is_unchanged(host: str) -> None:
    url = f"https://{host}:8443/cb?x=%2F"
    assert resolve_callback_url(url, BACKEND) == url


def test_without_a_configured_backend_loopback_is_unchanged() -> None:
    assert resolve_callback_url("http://localhost:8000/cb", None) == "http://localhost:8000/cb"


def test_the_scheme_is_the_backends_too() -> None:
    assert resolve_callback_url("http://localhost/cb", "https://api.example") == "https://api.example/cb"


@pytest.mark.parametrize(
    "backend", ["http://web:8000/hospital", "http://web:8000/hospital/", "http://web:8000/hospital//"]
)
@pytest.mark.parametrize("rest", ["/api/ai/callback/", "/api/ai/callback/?ward=3&x=%2F", "", "?x=1"])
def test_a_path_of_the_backends_url_stays_as_a_prefix(backend: str, rest: str) -> None:
    assert resolve_callback_url(f"http://localhost:8000{rest}", backend) == f"http://web:8000/hospital{rest}"


@pytest.mark.parametrize(
    "url", ["http://web/?next=http://localhost:8000/", "http://web/localhost/cb", "http://notlocalhost/"]
)
def test_localhost_is_found_by_host_and_not_as_a_part_of_the_text(url: str) -> None:
    assert resolve_callback_url(url, BACKEND) == url


def test_the_port_is_the_backends_own() -> None:
    assert resolve_callback_url("http://localhost:8000/cb", "http://web") == "http://web/cb"


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), max_size=200),
    st.sampled_from(LOOPBACK),
)
def test_path_and_query_are_kept_byte_for_byte(rest: str, host: str) -> None:
    assert resolve_callback_url(f"http://{host}:8000/{rest}", BACKEND) == f"{BACKEND}/{rest}"


@given(st.text(max_size=300), st.sampled_from(["", "http://", "https://", "http://localhost", "http://[::1]"]))
def test_any_text_is_resolved_or_refused_as_invalid_input(text: str, prefix: str) -> None:
    try:
        resolved = resolve_callback_url(prefix + text, BACKEND)
    except InvalidInput:
        return
    assert resolved.lower().startswith(("http://", "https://"))
    assert not any(ord(character) < 33 for character in resolved)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/api/callback",
        "localhost:8000/cb",
        "ftp://host/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://:8000/cb",
        "http://user@host/",
        "http://user:pw@host/",
        "http://host\\@evil.example/",
        "http://host:0/",
        "http://host:65536/",
        "http://host:8a/",
        "http://host:80:80/",
        "http://[::1/",
        "http://[zz::1]/",
        "http://[::1]evil/",
        "http://./",
        "http://host/a b",
        "http://host/a\r\nX-Injected: 1",
        "http://host/\x00",
        "http://host/\u2028",
        "http://host/" + "x" * 2048,
    ],
)
def test_an_invalid_callback_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        resolve_callback_url(url, BACKEND)


def test_the_longest_allowed_url_passes() -> None:
    url = "http://host/".ljust(2048, "x")
    assert resolve_callback_url(url, BACKEND) == url


@pytest.mark.parametrize(
    "setting",
    ["backend:8000", "http://user:pw@backend", "ftp://backend", "", "http://backend/?x=1", "http://backend/#x"],
)
def test_an_unusable_backend_setting_is_the_operators_error(setting: str) -> None:
    with pytest.raises(UsageError, match="SLUICE_BACKEND_URL"):
        backend_origin(setting)
