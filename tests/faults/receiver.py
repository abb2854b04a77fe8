"""A backend that receives callbacks, writes each into a journal, and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STALL = "stall"
REFUSE = "refuse"
HANG_UP = "hang up"
LIE = "accept and answer 500"
#: Longer than the notifier waits for an answer is not needed: a stall ends when the receiver is healed.
_LONGEST_STALL_S = 20.0


class CallbackServer(ThreadingHTTPServer):
    daemon_threads = True
    #: With the usual five, the kernel would deliver the requests of a notifier many seconds after that has died.
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: notifiers are killed in the middle of a request."""


class CallbackReceiver:
    """A context manager. `misbehave` stays in force until `heal`; the journal has every request that was read whole."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal.open("a", buffering=1)
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._healed.set()
        self._mode = ""
        self._server = CallbackServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> CallbackReceiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            self._journal.close()

    def url(self, token: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/done/{token}"

    def misbehave(self, mode: str) -> None:
        self._mode = mode
        self._healed.clear()

    def heal(self) -> None:
        self._mode = ""
        self._healed.set()

    def answer(self, path: str, delivery_id: str, body: bytes) -> int | None:
        """Note the request and return the status to answer; None closes the connection instead."""
        mode = self._mode
        if mode == STALL:
            self._healed.wait(_LONGEST_STALL_S)
        status = {REFUSE: 500, LIE: 500, HANG_UP: None}.get(mode, 200)
        entry = {
            "at": time.time(),
            "token": path.rpartition("/")[2],
            "delivery_id": delivery_id,
            "event": json.loads(body),
            "accepted": mode not in (REFUSE, HANG_UP),
            "status": status,
        }
        with self._lock:
            if not self._journal.closed:
                self._journal.write(json.dumps(entry) + "\n")
        return status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answer(self.path, self.headers.get("webhook-id", ""), body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the journal has it."""

        return Handler
