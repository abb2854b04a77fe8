"""Schema registry over HTTP: the Confluent API, as served by Confluent's registry and by Apicurio (`/apis/ccompat/v7`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from schemas.errors import Conflict, UnknownSchema, Unreachable, UsageError

if TYPE_CHECKING:
    import httpx2

#: Seconds between the tries of one call. Short, because callers retry too.
_PAUSES_S = (0.1, 0.4)
#: Apicurio gives no reason.
_NO_REASON = "It is not compatible with the registered versions; the registry gives no reason."
#: Error codes of the API: no such subject, version, schema.
_MISSING = (40401, 40402, 40403)
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class HttpRegistry:
    """Implements schemas.registry.SchemaRegistry. `url` may contain credentials; `self.url` never does.

    `open_client`: makes the client for a registry behind a gateway; None: a plain one. `keep_alive`: keep connections for
    further calls, until `close`.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        open_client: Callable[[], httpx2.Client] | None = None,
        keep_alive: bool = False,
    ) -> None:
        try:
            parts = urlsplit(url)
            # Reading an invalid port raises ValueError.
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise _bad_address() from error
        if not usable:
            raise _bad_address()
        self.url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._credentials = (parts.username, parts.password or "") if parts.username else None
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._open_client = open_client
        self._keep_alive = keep_alive

    def schema_by_id(self, schema_id: int) -> str:
        answer = self._call("GET", f"/schemas/ids/{schema_id}", missing_ok=True)
        if answer is None:
            raise UnknownSchema(f"The registry at {self.url} has no schema with id {schema_id}.")
        return self._text(answer, "schema")

    def register(self, subject: str, schema: str) -> int:
        return self._number(self._call("POST", f"/subjects/{_name(subject)}/versions", {"schema": schema}), "id")

    def lookup(self, subject: str, schema: str) -> int | None:
        answer = self._call("POST", f"/subjects/{_name(subject)}", {"schema": schema}, missing_ok=True)
        return None if answer is None else self._number(answer, "id")

    def check(self, subject: str, schema: str) -> list[str]:
        path = f"/compatibility/subjects/{_name(subject)}/versions?verbose=true"
        answer = self._call("POST", path, {"schema": schema}, missing_ok=True)
        if answer is None or answer.get("is_compatible") is True:
            return []
        return [str(message) for message in answer.get("messages") or []] or [_NO_REASON]

    def set_compatibility(self, subject: str | None, level: str) -> None:
        path = "/config" if subject is None else f"/config/{_name(subject)}"
        try:
            self._call("PUT", path, {"compatibility": level})
        except Conflict:
            # Apicurio, if another client sets the first level at the same time: now there is one to change.
            self._call("PUT", path, {"compatibility": level})

    def versions(self, subject: str) -> list[int]:
        """Return the subject's version numbers, ascending; empty if there is no such subject."""
        answer = self._call("GET", f"/subjects/{_name(subject)}/versions", missing_ok=True)
        return sorted(int(version) for version in answer or [])

    def subjects(self) -> list[str]:
        return sorted(str(subject) for subject in self._call("GET", "/subjects"))

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        if self._open_client is not None:
            return self._open_client()
        # No proxy from the environment: the registry is part of the installation, next to the broker.
        headers = {"Accept": f"{_MEDIA_TYPE}, application/json", "Content-Type": _MEDIA_TYPE}
        # Else one connection per call: calls are rare (schemas are cached), and owners of a codec need not close anything.
        return httpx2.Client(
            timeout=self._timeout_s,
            auth=self._credentials,
            headers=headers,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=None if self._keep_alive else 0),
        )

    def _call(self, method: str, path: str, body: dict[str, str] | None = None, *, missing_ok: bool = False) -> Any:
        """Return the decoded response; None for "no such schema, subject or version" if `missing_ok`."""
        response = self._send(method, path, body)
        if missing_ok and _says_missing(response):
            return None
        if response.is_success:
            return self._json(response)
        raise self._refusal(response)

    def _send(self, method: str, path: str, body: dict[str, str] | None) -> httpx2.Response:
        """Send with retries. Every call of this API is idempotent: registering the same schema again finds it."""
        import httpx2

        reason = ""
        for pause in (*_PAUSES_S, None):
            try:
                response = self._client.request(method, self.url + path, json=body)
            except httpx2.InvalidURL as error:
                raise _bad_address() from error
            except httpx2.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.status_code < 500 and response.status_code != 429:
                    return response
                reason = f"it answered {response.status_code}"
            if pause is not None:
                self._sleep(pause)
        raise self._unreachable(reason)

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._unreachable("its answer is not JSON") from error

    def _text(self, answer: Any, field: str) -> str:
        value = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(value, str):
            raise self._unreachable(f"its answer has no {field!r}")
        return value

    def _number(self, answer: Any, field: str) -> int:
        value = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(value, int):
            raise self._unreachable(f"its answer has no {field!r}")
        return value

    def _refusal(self, response: httpx2.Response) -> Exception:
        reason = _reason(response)
        if response.status_code == 409:
            return Conflict(
                f"The registry refused the schema: {reason}",
                next_step="Change it so that old and new readers understand each other, or use a new name.",
            )
        if response.status_code in (400, 422):
            return UsageError(f"The registry rejected the request: {reason}")
        return self._unreachable(f"it answered {response.status_code}: {reason}")

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            f"The schema registry at {self.url} gave no usable answer: {reason}.",
            next_step="Check SCHEMA_REGISTRY_URL; `sluice status` shows whether the local one is up.",
        )


def _bad_address() -> UsageError:
    return UsageError(
        "The schema registry's address is not an http:// or https:// URL.",
        next_step="Set SCHEMA_REGISTRY_URL, for example http://localhost:8081/apis/ccompat/v7.",
    )


def _name(subject: str) -> str:
    return quote(subject, safe="")


def _says_missing(response: httpx2.Response) -> bool:
    """True for a 404 of the registry itself, which has an error code. A wrong address must not mean "unknown schema"."""
    if response.status_code != 404:
        return False
    try:
        answer = response.json()
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("error_code") in _MISSING


def _reason(response: httpx2.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return response.text[:300]
    return str(answer.get("message", answer) if isinstance(answer, dict) else answer)[:600]
