"""A Docker engine that runs nothing: its HTTP API, answered as a real one answers, with each request kept.

The answers have the fields that a Docker client reads, as the Engine API documents them
(https://docs.docker.com/reference/api/engine/version/v1.44/). A container's published port is one that the test names, where a
real service may listen.
"""

from __future__ import annotations

import io
import json
import re
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

VERSION = {
    "Platform": {"Name": "Docker Engine - Community"},
    "Version": "28.5.2",
    "ApiVersion": "1.51",
    "MinAPIVersion": "1.24",
    "Os": "linux",
    "Arch": "amd64",
}


@dataclass
class RecordedContainer:
    """A container: the request that created it, and how far it got."""

    name: str
    asked: dict[str, Any]
    host_port: int
    files: dict[str, bytes] = field(default_factory=dict)
    state: str = "created"
    removed: bool = False

    @property
    def image(self) -> str:
        return str(self.asked["Image"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.asked["Env"] or ())

    def inspected(self, container_id: str) -> dict[str, Any]:
        published = [{"HostIp": "0.0.0.0", "HostPort": str(self.host_port)}]
        return {
            "Id": container_id,
            "Name": f"/{self.name}",
            "Config": {"Image": self.image, "Tty": False, "Env": self.asked["Env"]},
            "HostConfig": {"NetworkMode": "bridge", "LogConfig": {"Type": "json-file", "Config": {}}},
            "State": {
                "Status": self.state,
                "Running": self.state == "running",
                "ExitCode": int(self.state == "exited"),
            },
            "NetworkSettings": {"Ports": dict.fromkeys(self.asked.get("ExposedPorts") or (), published)},
        }


class Engine:
    """The requests and containers of an engine, and its address for `DOCKER_HOST`.

    Args:
        ports: The published port of a container, by a part of its image's name.
        log: What each container writes.
    """

    def __init__(self, ports: Mapping[str, int], log: str = "") -> None:
        self.ports = ports
        self.log = log
        self.containers: dict[str, RecordedContainer] = {}
        self.pulled: list[str] = []
        self.unknown: list[str] = []
        #: Images whose containers end as soon as they start.
        self.broken: set[str] = set()
        self.address = ""

    def of(self, image: str) -> RecordedContainer:
        (found,) = [container for container in self.containers.values() if image in container.image]
        return found

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        for wanted, pattern, handle in _ROUTES:
            if method == wanted and (match := re.fullmatch(pattern, path)):
                return handle(self, match.group(1) if match.groups() else "", query, body)
        self.unknown.append(f"{method} {path}")
        return _json({"message": "page not found"}, 404)

    def ping(self, _: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        return 200, b"OK"

    def version(self, _: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        return _json(VERSION)

    def image(self, name: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        if name not in self.pulled:
            return _json({"message": f"No such image: {name}"}, 404)
        return _json({"Id": f"sha256:{name}", "RepoTags": [name]})

    def pull(self, _: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        name = f"{query['fromImage'][0]}:{query['tag'][0]}"
        self.pulled.append(name)
        return 200, json.dumps({"status": f"Status: Downloaded newer image for {name}"}).encode() + b"\r\n"

    def create(self, _: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        port = next(port for part, port in self.ports.items() if part in asked["Image"])
        container_id = f"{len(self.containers) + 1:064x}"
        self.containers[container_id] = RecordedContainer(query.get("name", [""])[0], asked, port)
        return _json({"Id": container_id, "Warnings": []}, 201)

    def start(self, container_id: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        container = self.containers[container_id]
        container.state = "exited" if any(image in container.image for image in self.broken) else "running"
        return 204, b""

    def inspect(self, container_id: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        return _json(self.containers[container_id].inspected(container_id))

    def logs(self, container_id: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        """Answer in the framing of a container without a terminal: stream, three zeros, length, text."""
        text = self.log.encode() if query.get("stdout", ["0"])[0] == "1" else b""
        return 200, (b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text) if text else b""

    def put(self, container_id: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            for member in archive.getmembers():
                if (file := archive.extractfile(member)) is not None:
                    self.containers[container_id].files[f"/{member.name.lstrip('/')}"] = file.read()
        return 200, b""

    def remove(self, container_id: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        self.containers[container_id].removed = True
        return 204, b""


_Handle = Callable[[Engine, str, dict[str, list[str]], bytes], tuple[int, bytes]]
_ROUTES: tuple[tuple[str, str, _Handle], ...] = (
    ("GET", "/_ping", Engine.ping),
    ("GET", "/version", Engine.version),
    ("GET", "/images/(.+)/json", Engine.image),
    ("POST", "/images/create", Engine.pull),
    ("POST", "/containers/create", Engine.create),
    ("POST", "/containers/(.+)/start", Engine.start),
    ("GET", "/containers/(.+)/json", Engine.inspect),
    ("GET", "/containers/(.+)/logs", Engine.logs),
    ("PUT", "/containers/(.+)/archive", Engine.put),
    ("DELETE", "/containers/(.+)", Engine.remove),
)


def _json(value: object, status: int = 200) -> tuple[int, bytes]:
    return status, json.dumps(value).encode()


@contextmanager
def recorded_engine(ports: Mapping[str, int], log: str = "") -> Iterator[Engine]:
    """Serve an engine on a TCP port of the loopback."""
    engine = Engine(ports, log)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            body = self._body()
            path = re.sub(r"^/v[\d.]+", "", unquote(url.path))
            status, content = engine.answer(self.command, path, parse_qs(url.query), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    engine.address = f"tcp://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield engine
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def recorded_ryuk() -> Iterator[tuple[int, list[str]]]:
    """Serve the port of Ryuk, which removes a dead test run's containers; yield the port and the filters that clients sent."""
    filters: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("r") as lines:
                filters.extend(line.strip() for line in lines)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield server.getsockname()[1], filters
        finally:
            with socket.socket() as waker:  # ends an accept that no client ended
                waker.connect_ex(server.getsockname())
            serving.join()
