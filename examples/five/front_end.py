"""A front end that starts something at a backend and polls it, as the old ones do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import processes
from stack import TIMEOUT_S, session

POLL_S = 0.2
PATIENCE_S = 180.0


class FrontEnd:
    """Requests to one base URL. `who`: begins each line that is printed."""

    def __init__(self, who: str, url: str) -> None:
        self.who, self.url = who, url
        self._session = session()

    def get(self, path: str) -> Any:
        return self._answer("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        """Send a request; `body`: what `requests` takes, such as `json` or `files`."""
        return self._answer("POST", path, **body)

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        answer = self._session.request(method, self.url + path, timeout=TIMEOUT_S, **more)
        if not answer.ok:
            raise processes.DemoError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def follow(
        self, path: str, state: Callable[[Any], str], has_ended: Callable[[Any], bool]
    ) -> tuple[Any, list[str], float]:
        """Poll until it has ended. Returns the last answer, the states in their order, and the seconds."""
        since, states = time.monotonic(), list[str]()
        while True:
            found = self.get(path)
            if (now := state(found)) not in states[-1:]:
                states.append(now)
                self.say(now)
            if has_ended(found):
                return found, states, time.monotonic() - since
            if time.monotonic() - since > PATIENCE_S:
                raise processes.DemoError(f"{path} is still {now} after {PATIENCE_S:.0f} s: `sluice explain` says why")
            time.sleep(POLL_S)

    def say(self, text: str) -> None:
        processes.say(f"{self.who}: {text}")
