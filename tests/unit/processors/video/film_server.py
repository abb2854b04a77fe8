"""A web server of films, for the tests of the downloader."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """`length`: what Content-Length says; None: none is sent. `pieces`: of the body; one that is None waits for `gate`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: tuple[bytes | None, ...] = (b"film",)
    length: int | None = None


class FilmServer:
    """Answers by path, and remembers the requests' paths and headers."""

    def __init__(self, answers: Mapping[str, Answer], url: str) -> None:
        self.answers, self.url = dict(answers), url
        self.gate = threading.Event()
        self.asked: list[tuple[str, Mapping[str, str]]] = []


@contextmanager
def serving(answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> Iterator[FilmServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            films.asked.append((self.path, dict(self.headers)))
            answer = films.answers[self.path.partition("?")[0]]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length is not None:
                self.send_header("Content-Length", str(answer.length))
            self.end_headers()
            for piece in answer.pieces:
                if piece is None:
                    films.gate.wait(10)
                else:
                    self.wfile.write(piece)
                    self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        films = FilmServer(answers, f"{scheme}://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield films
        finally:
            films.gate.set()
            server.shutdown()
            thread.join()
