"""A machine that reaches one port, or a few, and nothing else: a program in a network namespace of its own.

The namespace has a loopback device and no other. There a relay listens on 127.0.0.1 and hands each connection through a Unix
socket to the test's process, which connects it to the port. Start the inner side as `python -m tests.harness.isolated
HOST:PORT=SOCKET,… PROGRAM…`, under `unshare --net`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.harness.source_tree import ROOT
from tests.harness.waiting import PATIENCE_S

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Machine:
    """A program of a machine of its own. `port`: the one that it reaches, as port `port` of its 127.0.0.1. `also`: sockets of
    further relays, by the address (a loopback one, host:port) at which the machine finds them."""

    def __init__(
        self,
        folder: Path,
        relay: Path,
        port: int,
        program: Sequence[str],
        env: dict[str, str],
        also: Mapping[str, Path] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "machine.log"
        relays = ",".join(f"{at}={path}" for at, path in {f"127.0.0.1:{port}": relay, **(also or {})}.items())
        inner = [sys.executable, "-m", "tests.harness.isolated", relays, *program]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*unshare(), *inner], env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self) -> int:
        """Stop the program, and end the machine."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.send(signal.SIGKILL)
            self.process.wait(PATIENCE_S)


def unshare() -> list[str]:
    """Return the command that runs a program in a new network namespace."""
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, (
        f"This test needs a network namespace, and {' '.join(command)} failed: {tried.stderr.strip()}. Run it as root, in a "
        "container with --cap-add SYS_ADMIN, or where users may make namespaces (sysctl kernel.unprivileged_userns_clone=1)."
    )
    return command


@contextmanager
def relay_to(port: int, path: Path) -> Iterator[Path]:
    """Connect what comes through the Unix socket `path` to a port of this machine."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        server = await asyncio.start_unix_server(_relay(lambda: asyncio.open_connection("127.0.0.1", port)), path)
        ready.set()
        async with server:
            await stop.wait()
            server.close_clients() if hasattr(server, "close_clients") else None
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield path
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _relay(connect: Connect) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await connect()
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, back), copy(there, writer))

    return relay


# ── within the namespace ──


def main(relays: str, program: list[str]) -> None:
    _loopback_up()
    listeners = {}
    for relay in relays.split(","):
        address, _, path = relay.partition("=")
        host, _, port = address.rpartition(":")
        listeners[path] = socket.create_server((host, int(port)))
    if os.fork():  # the program keeps this process's id
        for listener in listeners.values():
            listener.close()
        os.execvp(program[0], program)
    asyncio.run(_serve(listeners))


async def _serve(listeners: Mapping[str, socket.socket]) -> None:
    servers = [
        await asyncio.start_server(_relay(partial(asyncio.open_unix_connection, path)), sock=listener)
        for path, listener in listeners.items()
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = b"lo".ljust(16, b"\0")
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(control, _SIOCGIFFLAGS, name + bytes(16)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | _IFF_UP))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
