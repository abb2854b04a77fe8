"""Fetches a film from an address that a stranger chose.

Each address, that of a redirect too, is resolved once and compared with the rules (schemas/addresses.py); the connection is
made to the compared address. Proxies, cookies and credentials of the environment are not used. No message names the address:
its path and query may be secrets.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from schemas.addresses import AllowRules
from schemas.errors import ConnectionFailed, JobCancelled, PayloadTooLarge

MAX_URL = 8192
REDIRECTS = 5
#: Seconds to connect, and without a byte of the answer.
CONNECT_S, SILENCE_S = 10.0, 30.0
#: Answers that may be another one next time.
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_USER_AGENT = "sluice-video/1"

OnBytes = Callable[[int, int | None], None]


class DownloadRefused(ConnectionFailed):
    """The film can't be fetched, and not later either."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Downloader:
    """`rules`: addresses that are allowed besides public ones. `max_bytes`: of the film. `limit_s`: seconds for all of it."""

    rules: AllowRules
    max_bytes: int
    limit_s: float
    #: None: the certificate authorities of the system are trusted.
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def fetch(
        self,
        url: str,
        target: Path,
        cancelled: Callable[[], bool] = lambda: False,
        on_bytes: OnBytes = lambda done, total: None,
    ) -> None:
        """Write the film at `url` to the file `target`.

        `on_bytes` is called with the bytes so far, and their number in all if the server says it.

        Raises DownloadRefused for an address that is malformed or not allowed, and an answer that won't change;
        ConnectionFailed for one that may; PayloadTooLarge, JobCancelled.
        """
        until = time.monotonic() + self.limit_s
        tls = self.tls or ssl.create_default_context()
        with httpx.Client(verify=tls, trust_env=False, timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S)) as client:
            here = _checked(url)
            for _ in range(REDIRECTS + 1):
                with self._answer(client, here) as response:
                    if response.next_request is None:
                        _refuse(response)
                        self._save(response, target, until, cancelled, on_bytes)
                        return
                    here = _checked(str(here.join(response.headers["location"])))
        raise DownloadRefused(f"The film's address leads on more than {REDIRECTS} times.")

    @contextlib.contextmanager
    def _answer(self, client: httpx.Client, url: httpx.URL) -> Iterator[httpx.Response]:
        """Ask one of the host's allowed addresses. Raises ConnectionFailed, also for errors while the answer is read."""
        failure: httpx.HTTPError | None = None
        try:
            for address in self._addresses(url):
                request = client.build_request(
                    "GET",
                    url.copy_with(host=address),
                    headers={
                        "Host": url.netloc.decode("ascii"),
                        "Accept-Encoding": "identity",
                        "User-Agent": _USER_AGENT,
                    },
                    extensions={"sni_hostname": url.raw_host.decode("ascii")},
                )
                try:
                    response = client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    failure = error
                    continue
                with contextlib.closing(response):
                    yield response
                return
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _lost(error) from error
        raise _lost(failure) from failure

    def _addresses(self, url: httpx.URL) -> list[str]:
        """Resolve the host to the addresses that may be connected to. Raises DownloadRefused, ConnectionFailed."""
        host = url.host
        try:
            port = url.port or {"http": 80, "https": 443}[url.scheme]
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionFailed(
                "The host of the film's address can't be resolved.",
                next_step="Check its name, and the worker's network.",
            ) from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if self.rules.allows_host(host):
            return addresses
        allowed = [address for address in addresses if self.rules.allows_address(address)]
        if not allowed:
            raise DownloadRefused(
                "The film's address is not public and not allowed.",
                next_step=f"If it is intended, add its host or network to {self.rules.setting} of the worker.",
            )
        return allowed

    def _save(
        self, response: httpx.Response, target: Path, until: float, cancelled: Callable[[], bool], on_bytes: OnBytes
    ) -> None:
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdecimal() else None
        self._check_size(total or 0)
        done = 0
        with target.open("wb") as file:
            for piece in response.iter_raw():
                done += len(piece)
                self._check_size(done)
                if cancelled():
                    raise JobCancelled("The job was stopped while its film was fetched.")
                if time.monotonic() > until:
                    raise ConnectionFailed(f"The film was not fetched within {self.limit_s:g} s.")
                file.write(piece)
                on_bytes(done, total)
        if done == 0:
            raise DownloadRefused("The film's address answers with an empty file.")

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise PayloadTooLarge(
                f"The film is larger than {self.max_bytes / (1 << 20):g} MiB.", next_step="VIDEO_MAX_MIB is the limit."
            )


def _checked(url: str) -> httpx.URL:
    """Return an address that can be opened. Raises DownloadRefused."""
    try:
        parsed = httpx.URL(url if len(url) <= MAX_URL else "")
        usable = parsed.scheme in ("http", "https") and bool(parsed.host) and not parsed.userinfo
    except (httpx.InvalidURL, UnicodeError, ValueError):
        usable = False
    if not usable:
        raise DownloadRefused(
            "The film's address is no http:// or https:// URL, or carries a user name.",
            next_step="Send an absolute URL without credentials, such as https://host/path.",
        )
    return parsed


def _refuse(response: httpx.Response) -> None:
    """Raise the error of an answer that is no film."""
    status = response.status_code
    if status == httpx.codes.OK:
        return
    message = f"The server of the film answers {status}."
    if status in _PASSING:
        after = response.headers.get("retry-after", "")
        raise ConnectionFailed(message, retry_after_s=float(after) if after.isdecimal() else None)
    raise DownloadRefused(message, next_step="Check the address, and that it has not expired.")


def _lost(error: Exception | None) -> ConnectionFailed:
    kind = f" ({type(error).__name__})" if error is not None else ""
    return ConnectionFailed(f"The film could not be fetched: the connection failed{kind}.")
