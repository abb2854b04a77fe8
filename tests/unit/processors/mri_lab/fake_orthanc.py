"""An Orthanc for tests: a real HTTP server whose answers the test sets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ID = "-".join(["0123abcd"] * 5)
#: Status and body; None closes the connection without an answer.
Answer = tuple[int, bytes] | None


class FakeOrthanc:
    """`answers`: by method and path, a list whose last answer is repeated. `asked`: the requests, `bodies`: theirs."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.bodies: dict[str, list[bytes]] = {}
        self.logins: set[str | None] = set()
        self.url = ""

    def says(self, request: str, *answers: Answer | object) -> None:
        self.answers[request] = [
            answer if answer is None or isinstance(answer, tuple) else (200, json.dumps(answer).encode())
            for answer in answers
        ]

    def series(self, *stable: bool, instances: tuple[str, ...] = ("a", "b")) -> None:
        self.says(f"GET /series/{ID}", *({"ID": ID, "Instances": instances, "IsStable": each} for each in stable))


@contextmanager
def serving(fake: FakeOrthanc) -> Iterator[FakeOrthanc]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the head and the body of an answer are two packets

        def answer(self) -> None:
            request = f"{self.command} {self.path}"
            fake.bodies.setdefault(request, []).append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            fake.asked.append(request)
            fake.logins.add(self.headers.get("Authorization"))
            waiting = fake.answers.get(request, [(404, b"")])
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if answer is None:
                self.close_connection = True
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
