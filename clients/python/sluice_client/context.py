"""Settings of a client that every operation needs: where the gateway is, limits, and when to try again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from sluice_client.errors import UsageError
from sluice_client.settings import Settings
from sluice_client.wire import FileSlice, Request

VERSION = "0.1.0"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds, and sizes in bytes."""

    #: To connect, TLS included.
    connect_s: float = 5.0
    #: Longest silence while an answer is read. An event stream has a heartbeat every 15 s.
    read_s: float = 45.0
    #: Longest stop while a body is written.
    write_s: float = 60.0
    #: Largest JSON answer or event; a larger one raises UnexpectedAnswer. Downloads have no limit but the size in the result.
    most_bytes: int = 64 * _MIB
    #: Files of this size or more are uploaded in parts, which can be resumed.
    parts_from: int = 8 * _MIB
    #: Size of a part.
    part: int = 64 * _MIB


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request is sent again: after a broken connection, and after 429, 502, 503 and 504.

    Waits double from `first_s` to `longest_s` and are shortened at random by up to a half, so that clients that failed
    together do not come back together. A longer `Retry-After` is kept. `attempts=1` turns retries off.
    """

    attempts: int = 6
    first_s: float = 0.2
    longest_s: float = 10.0
    #: Seconds from the first attempt after which none is begun. A `Retry-After` beyond it raises at once.
    total_s: float = 60.0
    #: Seconds that an event stream tries to connect again before it raises Unreachable.
    reconnect_s: float = 300.0

    def delay(self, failures: int, retry_after_s: float | None, share: float) -> float:
        """Return the seconds to wait after so many failures; `share` is a random number from 0 to 1."""
        backoff = min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s) * (0.5 + share / 2)
        return backoff if retry_after_s is None else retry_after_s + backoff * share


@dataclass(frozen=True, slots=True)
class Context:
    """Builds requests to one gateway; knows the clock and the source of jitter, so that tests decide both."""

    url: str
    token: str = field(default="", repr=False)
    limits: Limits = Limits()
    retry: Retry = Retry()
    clock: Callable[[], float] = time.monotonic
    share: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(
                "The gateway's URL is missing or is not an http or https URL.",
                "Set SLUICE_GATEWAY_URL, such as https://sluice.example, or pass it to the client.",
            )
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise UsageError("The token has characters that a header can't hold.", "Check SLUICE_GATEWAY_TOKEN.")

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        content: bytes | FileSlice = b"",
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        wait_s: float = 0.0,
    ) -> Request:
        """Return a request to a path below the gateway's URL, or to a link that the gateway gave.

        `wait_s`: how long the gateway may think before it answers. The token is sent to the gateway's own origin only.
        """
        url = self.url.rstrip("/") + path if path.startswith("/v1/") else urljoin(self.url.rstrip("/") + "/", path)
        query = {name: value for name, value in (query or {}).items() if value is not None}
        if query:
            url += "?" + urlencode(query, doseq=True)
        sent = {"user-agent": f"sluice-client/{VERSION}", "accept-encoding": "identity", **(headers or {})}
        if self.token and origin_of(url) == origin_of(self.url):
            sent["authorization"] = f"Bearer {self.token}"
        return Request(method, url, sent, content, repeatable, self.limits.read_s + wait_s)


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def segment(text: str) -> str:
    """Return an id as one part of a path. Raises UsageError for a text that is none, so that no other path is asked."""
    if not isinstance(text, str) or text in ("", ".", ".."):
        raise UsageError("An id is empty or not a text.")
    return quote(text, safe="")


def context_of(url: str | None, token: str | None, limits: Limits | None, retry: Retry | None) -> Context:
    """Return the context of a client; the environment has the address and token that were not given. Raises UsageError."""
    settings = Settings.from_environment()
    return Context(
        settings.gateway_url if url is None else url,
        settings.gateway_token if token is None else token,
        limits or Limits(),
        retry or Retry(),
    )
