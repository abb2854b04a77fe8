"""Measures signed callbacks: rate and CPU microseconds, with a server in another process.

    python -m bench.callbacks [--count 5000] [--rounds 5] [--in-flight 50] [--bytes 600]

`client` is the Deliverer alone, `notifier` the whole way from the sink's handoff to the record of each try. The server sends a
fixed answer as soon as it has the body, and the store is the one in memory, on a thread of its own that is not counted: so the
figures are those of the notifier's loop. The best of some rounds is that of the least disturbed one.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
import uuid
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from connectors.callbacks.deliver import Deliverer
from connectors.callbacks.delivery_try import TryResult
from connectors.memory import MemoryDatabase
from connectors.memory.delivery_store import MemoryDeliveryStore
from schemas.addresses import AllowRules
from streams.notify.dispatcher import DeliveryDispatcher
from streams.notify.pending_delivery import PendingDelivery
from streams.process import tune_gc

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"received": 1}'
#: Callbacks of a handoff.
HANDOFF = 100
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


async def client(deliverer: Deliverer, callbacks: Sequence[PendingDelivery], in_flight: int) -> None:
    """Post these callbacks, `in_flight` at a time."""
    waiting = iter(callbacks)

    async def worker() -> None:
        for one in waiting:
            tried = await deliverer.deliver(one.callback())
            assert tried.result is TryResult.DELIVERED, tried

    await asyncio.gather(*(worker() for _ in range(in_flight)))


async def notifier(deliverer: Deliverer, callbacks: Sequence[PendingDelivery], in_flight: int) -> None:
    """Hand these callbacks off as a sink does, and wait until all are recorded."""
    store, stop = MemoryDeliveryStore(MemoryDatabase()), asyncio.Event()
    dispatcher = DeliveryDispatcher(deliverer, store, per_destination=in_flight, poll_s=60)
    running = asyncio.create_task(dispatcher.run(stop))
    while (notifier_id := dispatcher.notifier_id) is None:  # noqa: ASYNC110 - its lease has nothing to await
        await asyncio.sleep(0.001)
    for first in range(0, len(callbacks), HANDOFF):
        dispatcher.hand_off(notifier_id, callbacks[first : first + HANDOFF])
    await asyncio.sleep(0.005)
    while dispatcher.held.number:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    stop.set()
    await running


async def measure(port: int, arguments: argparse.Namespace) -> None:
    tune_gc()
    for measured in (client, notifier):
        rounds = []
        async with Deliverer(AllowRules.parse("localhost"), [SECRET], per_destination=arguments.in_flight) as deliverer:
            for _ in range(arguments.rounds):
                callbacks = [pending(port, b"x" * arguments.bytes) for _ in range(arguments.count)]
                wall, cpu = time.perf_counter(), time.thread_time()
                await measured(deliverer, callbacks, arguments.in_flight)
                rounds.append((time.thread_time() - cpu, time.perf_counter() - wall))
        cpu, wall = min(rounds)
        each = [round(cpu / arguments.count * 1e6, 1) for cpu, _ in sorted(rounds)]
        print(
            f"{measured.__name__}: {each[0]} µs of CPU each (rounds {each}), {arguments.count / wall:,.0f} callbacks/s"
        )


def pending(port: int, body: bytes) -> PendingDelivery:
    return PendingDelivery(uuid.uuid4().bytes, f"http://127.0.0.1:{port}/cb", "default", body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="callbacks of a round (default 5000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default 5)")
    parser.add_argument("--in-flight", type=int, default=50, help="callbacks at the same time (default 50)")
    parser.add_argument("--bytes", type=int, default=600, help="size of each body in bytes (default 600)")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        uvloop.run(measure(here.recv(), arguments))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
