"""A language model behind a server that speaks OpenAI's protocol: chat completions, streamed as server-sent events.

The server is trusted with nothing: its time, its lines and its answer are bounded, redirects are not followed, and its own
words never reach an error's text, because they may quote the prompt. Nothing here shows the API key.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from processors.language.answers import generate_valid
from processors.language.call_watch import CallWatch
from processors.language.event_stream import Completion, Garbled, TooLong, bounded, clean, error_name, event_data
from processors.language.model import ChatMessage, Generated, ModelUnavailable, never
from schemas.errors import StartupError

#: Seconds of one call of `generate` in all, to connect, and between two pieces of an answer.
TIMEOUT_S = 120.0
CONNECT_S = 10.0
READ_S = 60.0
#: Bytes of an error's body that are looked at.
_ERROR_BYTES = 64 << 10
_LONGEST_WAIT_S = 3600.0
#: Answers of servers that do not know a field of the request.
_UNKNOWN_FIELD: Final = (400, 415, 422, 501)
_STEPS = {
    401: "Set LLM_API_KEY to a key that the server accepts.",
    403: "Set LLM_API_KEY to a key that may use the model.",
    404: "Check LLM_MODEL, and that LLM_URL is the base URL, such as http://llm.example.org:8000/v1.",
    429: "The server has too much to do; ask it for less, or raise its limit.",
}


class LanguageServer:
    """A model of a server. `url`: the base URL, to which `/chat/completions` is added; without a path, `/v1` is.

    `timeout_s` bounds a whole call of `generate`, a correction included. A call is made once and never repeated, but for one
    case: a server that refuses `response_format` or `stream_options` is asked without them, then and from then on. Raises
    StartupError for an address, a key or a model name that can't be used.
    """

    def __init__(self, url: str, model: str, api_key: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        #: For messages: without a path.
        self.origin, self._url = _addresses(url)
        if not model:
            raise StartupError("LLM_URL is set, but LLM_MODEL is not.", next_step="Set it to a model of the server's.")
        if not model.isprintable():
            raise StartupError("LLM_MODEL has characters that can't be sent.", next_step="Type it again.")
        if not (api_key.isascii() and api_key.isprintable()):
            raise StartupError("LLM_API_KEY has characters that no HTTP header may hold.", next_step="Copy it again.")
        self.name = model
        self._timeout_s = timeout_s
        self._plain = False
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(min(READ_S, timeout_s), connect=min(CONNECT_S, timeout_s)),
            limits=httpx.Limits(max_keepalive_connections=0),  # CallWatch sees a connection only when it is opened
            verify=ssl.create_default_context() if self.origin.startswith("https:") else _NO_AUTHORITIES,
            follow_redirects=False,
        )

    def close(self) -> None:
        self._http.close()

    def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        schema: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> Generated:
        """Return the server's answer; see LanguageModel."""
        settings = {"model": self.name, "max_tokens": max_tokens, "temperature": temperature, "stream": True}
        if schema is not None:
            settings["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            }
        with CallWatch(self.origin, self._timeout_s, cancelled) as watch:

            def ask(messages: Sequence[ChatMessage]) -> Generated:
                return self._asked(settings, messages, on_text, watch)

            return ask(messages) if schema is None else generate_valid(ask, messages, schema, on_text)

    def _asked(
        self,
        settings: Mapping[str, Any],
        messages: Sequence[ChatMessage],
        on_text: Callable[[str], None] | None,
        watch: CallWatch,
    ) -> Generated:
        spoken = [{"role": each.role, "content": clean(each.content)} for each in messages]
        body = {**settings, "messages": spoken}
        full = {**body, "stream_options": {"include_usage": True}}
        answer = None if self._plain else self._call(full, on_text, watch, may_refuse_fields=True)
        if answer is None:
            answer = self._call({k: v for k, v in body.items() if k != "response_format"}, on_text, watch)
            self._plain = True
        assert answer is not None
        return Generated(answer.text, self.name, answer.count, cut=answer.finish == "length")

    def _call(
        self,
        body: Mapping[str, Any],
        on_text: Callable[[str], None] | None,
        watch: CallWatch,
        *,
        may_refuse_fields: bool = False,
    ) -> Completion | None:
        """Make one call. Returns None if the server may have refused a field of the body, and `may_refuse_fields`."""
        watch.check()
        try:
            request = self._http.build_request(
                "POST", self._url, json=body, headers=_HEADERS, extensions={"trace": watch.trace}
            )
            response = self._http.send(request, stream=True)
            try:
                if may_refuse_fields and response.status_code in _UNKNOWN_FIELD:
                    return None
                self._refuse(response)
                return self._read(response, Completion(on_text), watch)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError) as error:
            watch.check()
            raise self._unanswered(error) from error
        except Garbled as error:
            raise self._unavailable(f"sent {error}; its answer is dropped", "garbled") from error
        except TooLong as error:
            raise self._unavailable(f"sent {error}; its answer is dropped", "too_long") from error

    def _read(self, response: httpx.Response, answer: Completion, watch: CallWatch) -> Completion:
        """Read the answer to its end. An end without the server's word for it is a server that died."""
        pieces = bounded(response.iter_raw())
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # a server that does not stream
            answer.add(b"".join(pieces).decode(errors="replace"))
            watch.check()
            return answer
        for data in event_data(pieces):
            watch.check()
            if data == "[DONE]":
                return answer
            answer.add(data)
        watch.check()
        if answer.finish is None:
            raise self._unavailable("ended its answer in mid-stream; the part is dropped", "interrupted")
        return answer

    def _refuse(self, response: httpx.Response) -> None:
        """Raise the error of an answer that is none."""
        status = response.status_code
        if response.is_redirect:
            raise self._unavailable(
                f"redirects ({status}), which is not followed: the key would go along",
                "refused",
                next_step="Set LLM_URL to the address it redirects to, if you trust it.",
            )
        encoding = response.headers.get("content-encoding", "identity")
        if response.is_success and encoding != "identity":
            raise self._unavailable("sent a compressed answer, which was not asked for", "garbled")
        if response.is_success:
            return
        try:
            answer = json.loads(b"".join(bounded(response.iter_raw(), _ERROR_BYTES)))
        except (ValueError, RecursionError, TooLong):
            answer = None
        wait = response.headers.get("retry-after", "")
        raise self._unavailable(
            f"answered {status}{error_name(answer)}",
            "refused",
            next_step=_STEPS.get(status, "Its log says why."),
            retry_after_s=min(float(wait), _LONGEST_WAIT_S) if wait.isascii() and wait.isdecimal() else None,
        )

    def _unanswered(self, error: Exception) -> ModelUnavailable:
        name = type(error).__name__
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol | httpx.ProxyError):
            return self._unavailable(
                f"can't be reached ({name})", "connect", next_step="Check LLM_URL and that the server runs."
            )
        if isinstance(error, httpx.TimeoutException):
            return self._unavailable(f"went silent ({name}); its answer is dropped", "timeout")
        return self._unavailable(f"broke off its answer ({name}); the part is dropped", "interrupted")

    def _unavailable(
        self, what: str, reason: str, *, next_step: str | None = None, retry_after_s: float | None = None
    ) -> ModelUnavailable:
        return ModelUnavailable(
            f"The language model at {self.origin} {what}.",
            reason=reason,
            next_step=next_step,
            retry_after_s=retry_after_s,
        )


#: For a server without TLS; reading the system's authorities takes 50 ms.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_HEADERS = {"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity"}


def _addresses(url: str) -> tuple[str, str]:
    """Return the server's origin and the URL of chat completions. The error never repeats the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True) and url.isprintable()
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise StartupError(
            "LLM_URL is no address of a server.", next_step="Set it to a base URL like http://llm.example.org:8000/v1."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise StartupError(
            "LLM_URL holds credentials, a query or a fragment.",
            next_step="Give the key in LLM_API_KEY, and the rest not.",
        )
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    origin = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    return origin, f"{origin}{parts.path.rstrip('/') or '/v1'}/chat/completions"
