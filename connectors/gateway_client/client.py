"""HTTP calls to a gateway, and its errors as errors of our tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connectors.gateway_client.access import GatewayAccess
from schemas.errors import (
    ClaimMismatch,
    Conflict,
    ErrorCode,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    SluiceError,
    UnknownProcessor,
    Unreachable,
    UsageError,
)

if TYPE_CHECKING:
    import httpx2

#: Seconds to connect, and between two pieces of an answer.
TIMEOUT_S = 10.0
ROOT = "/v1/lab"

_ERRORS: dict[str, type[SluiceError]] = {
    ErrorCode.USAGE: UsageError,
    ErrorCode.INVALID_INPUT: InvalidInput,
    ErrorCode.UNKNOWN_PROCESSOR: UnknownProcessor,
    ErrorCode.CLAIM_MISMATCH: ClaimMismatch,
    ErrorCode.PAYLOAD_TOO_LARGE: PayloadTooLarge,
    ErrorCode.NOT_FOUND: NotFound,
    ErrorCode.CONFLICT: Conflict,
    "LEASE_LOST": Conflict,
}


class NotLetIn(Unreachable):
    """The gateway answers, and refuses this machine: its token, its certificate, or ours of the gateway."""


class NotAGateway(Unreachable):
    """Something answers at the address, and it is no gateway."""


class GatewayClient:
    """Thread-safe. Every call raises Unreachable while the gateway does not answer, or answers for something that passes;
    NotLetIn if it refuses the token or TLS fails; NotAGateway; and the gateway's own error for a request that it refuses.

    `keep_alive`: keep connections between calls, until `close`; without it nothing has to be closed.
    """

    def __init__(self, access: GatewayAccess, *, keep_alive: bool = True, timeout_s: float = TIMEOUT_S) -> None:
        self.url = access.url.rstrip("/")
        self._access = access
        self._keep_alive = keep_alive
        self._timeout_s = timeout_s

    def call(self, method: str, path: str, body: Any = None, *, wait_s: float = 0.0, **more: Any) -> Any:
        """Return the decoded answer; None for an empty one. `wait_s`: how much longer the answer may take."""
        if body is not None:
            more["json"] = body
        with self.stream(method, path, wait_s=wait_s, **more) as response:
            text = response.read()
            if not text:
                return None
            try:
                return response.json()
            except ValueError as error:
                raise self._no_gateway("its answer is not JSON") from error

    @contextmanager
    def stream(self, method: str, path: str, *, wait_s: float = 0.0, **more: Any) -> Iterator[httpx2.Response]:
        """Yield a successful response whose body is not read yet."""
        import httpx2

        timeout = httpx2.Timeout(self._timeout_s, read=self._timeout_s + wait_s)
        try:
            with self._client.stream(method, f"{self.url}{ROOT}{path}", timeout=timeout, **more) as response:
                if not response.is_success:
                    response.read()
                    raise self._error(response)
                yield response
        except httpx2.InvalidURL as error:
            raise self._no_gateway("its address can't be used") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unanswered(error) from error

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    @property
    def registry_url(self) -> str:
        """Return where the gateway answers as a schema registry, for reading alone."""
        return f"{self.url}{ROOT}/registry"

    def open(self) -> httpx2.Client:
        """Return a new HTTP client that is let in. Raises UsageError for TLS files that can't be used."""
        import httpx2

        headers = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        # A proxy from the environment is used: it may be this machine's only way out.
        return httpx2.Client(
            verify=self._access.tls(),
            headers=headers,
            follow_redirects=False,
            timeout=self._timeout_s,
            limits=httpx2.Limits(max_keepalive_connections=8 if self._keep_alive else 0),
        )

    @cached_property
    def _client(self) -> httpx2.Client:
        return self.open()

    def _error(self, response: httpx2.Response) -> SluiceError:
        problem = _problem(response)
        code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))[:600]
        status, next_step = response.status_code, problem.get("next_step")
        if status in (401, 403):
            return NotLetIn(
                f"The gateway at {self.url} refused this machine ({status}): {detail or 'no reason given'}",
                next_step="Set SLUICE_GATEWAY_TOKEN or SLUICE_GATEWAY_TOKEN_FILE to a token with the scope `work`: "
                "`sluice tokens create`.",
            )
        if (kind := _ERRORS.get(code)) is not None and 400 <= status < 500:
            return kind(detail, next_step=None if next_step is None else str(next_step)[:600])
        if status >= 500 or status == 429:
            return Unreachable(f"The gateway at {self.url} can't do it now ({status}): {detail or 'no reason given'}")
        return self._no_gateway(f"it answered {status}")

    def _no_gateway(self, reason: str) -> NotAGateway:
        return NotAGateway(
            f"What answers at {self.url} does not speak as a sluice gateway: {reason}.",
            next_step="Check the address: that of `sluice gateway`, without a path of its own.",
        )

    def _unanswered(self, error: Exception) -> Unreachable:
        text = f"{error} {error.__cause__ or ''}"
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return NotLetIn(
                f"The certificate of the gateway at {self.url} can't be trusted.",
                next_step="Set SLUICE_WORKER_CA to the file of the authority that signed it, and use the name in it.",
            )
        if ("SSL" in text or "TLS" in text) and "EOF" not in text:
            return NotLetIn(
                f"TLS with the gateway at {self.url} failed ({type(error).__name__}).",
                next_step="Check https:// or http:// in its address, SLUICE_WORKER_CERTIFICATE and SLUICE_WORKER_KEY.",
            )
        return Unreachable(
            f"The gateway at {self.url} did not answer: {type(error).__name__}: {str(error)[:200]}",
            next_step="Check its address, and that this machine may connect to it.",
        )


def _problem(response: httpx2.Response) -> Mapping[str, Any]:
    """Return the members of a problem (RFC 9457); none if the answer is something else."""
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
