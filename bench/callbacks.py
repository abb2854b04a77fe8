"""Measures signed callbacks: rate and CPU microseconds of the Deliverer, with a server in another process.

    python -m bench.callbacks [--count 20000] [--in-flight 32] [--bytes 600]

The server sends a fixed answer as soon as it has the body, so the figures are those of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import OutgoingCallback, TryResult
from schemas.addresses import AllowRules

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"received": 1}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class AnsweringServer(asyncio.Protocol):
    """Answers each request once its body has arrived; knows just enough HTTP for this client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = (
            cast(asyncio.Transport, transport),
            b"",
        )

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(ANSWER)


def serve(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(AnsweringServer, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def load(port: int, count: int, in_flight: int, body: bytes) -> tuple[float, float]:
    """Return wall and CPU seconds for `count` deliveries, `in_flight` at a time."""
    numbers = iter(range(count))
    async with Deliverer(AllowRules.parse("localhost"), [SECRET], per_destination=in_flight) as deliverer:

        async def worker() -> None:
            for number in numbers:
                tried = await deliverer.deliver(
                    OutgoingCallback(f"dlv_{number:026}", f"http://127.0.0.1:{port}/cb", body)
                )
                assert tried.result is TryResult.DELIVERED, tried

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20000, help="callbacks to send (default 20000)")
    parser.add_argument("--in-flight", type=int, default=32, help="callbacks at the same time (default 32)")
    parser.add_argument("--bytes", type=int, default=600, help="size of each body in bytes (default 600)")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        wall, cpu = uvloop.run(load(here.recv(), arguments.count, arguments.in_flight, b"x" * arguments.bytes))
    finally:
        server.terminate()
        server.join()
    print(f"{arguments.count / wall:,.0f} callbacks/s, {cpu / arguments.count * 1e6:.1f} µs of CPU each")


if __name__ == "__main__":
    main()
