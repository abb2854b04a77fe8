"""Resolves the destination of a callback, for every processor and submission path.

A backend that writes `http://localhost:8000/api/ai/callback/` means itself, but in a container `localhost` is the container. So
loopback hosts are rewritten to the configured backend; path and query stay unchanged.
"""

from __future__ import annotations

import re
from functools import lru_cache

from schemas.addresses import is_loopback_host, parse_literal
from schemas.errors import InvalidInput, UsageError

MAX_URL = 2048

_URL = re.compile(r"(?i:(?P<scheme>https?))://(?P<authority>[^/?#]*)(?P<rest>.*)")
#: The common beginning of a URL; any other is parsed as a whole.
_ORIGIN = re.compile(r"(?i:https?)://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?=[/?#]|\Z)")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[^\[\]:@\\%<>\"^`{|}]+)(?::(?P<port>[0-9]{0,5}))?")
# With a space or a control character, the author of a URL could inject lines into the request.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")


def resolve_callback_url(url: str, backend_url: str | None) -> str:
    """Return `url`, or its path and query behind `backend_url` if its host is loopback. Raises InvalidInput.

    The port of `url` is dropped: the backend's own is in `backend_url`. A path of `backend_url` stays as a prefix."""
    _, authority, rest = split_url(url)
    if backend_url is None or not is_loopback_host(host_of(authority)):
        return url
    return backend_base(backend_url) + rest


def split_url(url: str) -> tuple[str, str, str]:
    """Split a valid callback URL into (scheme, host and port, path with query). Raises InvalidInput."""
    if len(url) > MAX_URL:
        raise _invalid(f"The callback URL has {len(url)} characters; {MAX_URL} are allowed.")
    if _UNSAFE.search(url):
        raise _invalid("The callback URL contains a space or a control character.")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _invalid("The callback URL is not an absolute http:// or https:// URL.")
    scheme, authority, rest = parts.group("scheme", "authority", "rest")
    _check_authority(authority)
    return scheme.lower(), authority, rest


def host_of(authority: str) -> str:
    """Return the host of `host:port`, lower-case, without brackets and trailing dot."""
    if authority.startswith("["):
        return authority[1 : authority.index("]")].lower()
    return authority.partition(":")[0].lower().rstrip(".")


def destination_of(url: str) -> str:
    """Return the host and port that a callback URL belongs to, in one spelling; "" for a URL that can't be used.

    Limits and circuit breakers count by it, so a path, a query, a default port or another spelling of an address make no
    destination of their own. Called for each delivery: an origin is parsed once."""
    origin = _ORIGIN.match(url)
    return _destination_of(url if origin is None else origin[0])


@lru_cache(maxsize=4096)
def _destination_of(url: str) -> str:
    try:
        scheme, authority, _ = split_url(url)
    except InvalidInput:
        return ""
    host = host_of(authority)
    port = int(authority.rpartition("]")[2].partition(":")[2] or {"http": 80, "https": 443}[scheme])
    return f"{parse_literal(host) or host}:{port}"


def backend_origin(backend_url: str) -> str:
    """Return `scheme://host:port` of the configured backend. Raises UsageError, because it is a setting and not job input."""
    scheme, authority, _ = _split_backend(backend_url)
    return f"{scheme}://{authority}"


def backend_base(backend_url: str) -> str:
    """Return the configured backend without trailing slashes, with its path as a prefix. Raises UsageError."""
    scheme, authority, path = _split_backend(backend_url)
    return f"{scheme}://{authority}{path.rstrip('/')}"


@lru_cache(maxsize=16)
def _split_backend(backend_url: str) -> tuple[str, str, str]:
    """Cached: one backend is configured, and each callback asks for it."""
    try:
        scheme, authority, path = split_url(backend_url)
        if "?" in path or "#" in path:
            raise _invalid("It has a query or a fragment.")
    except InvalidInput as error:
        raise UsageError(
            f"The backend's URL (SLUICE_BACKEND_URL, DJANGO_URL or MAIN_VM_IP) is not usable: {error.message}",
            next_step="Give it as http://host:port, for example http://host.docker.internal:8000.",
        ) from error
    return scheme, authority, path


def _check_authority(authority: str) -> None:
    if "@" in authority:
        raise _invalid("The callback URL carries a user name or password.")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not host_of(authority):
        raise _invalid("The callback URL names no host, or one that can't be read.")
    port = parts.group("port")
    if port and not 0 < int(port) < 65536:
        raise _invalid(f"The callback URL names port {port}; ports go from 1 to 65535.")
    if authority.startswith("[") and parse_literal(host_of(authority)) is None:
        raise _invalid("The callback URL's IPv6 address can't be read.")


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, next_step="Send an absolute URL without credentials, such as https://host/path.")
