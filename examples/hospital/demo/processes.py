"""Starts and stops what the demonstration needs: sluice, and Django in an environment of its own."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

EXAMPLE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Served:
    """The part of sluice that a demonstration needs. `processors`: those of SLUICE_PROCESSORS. `workers`: those with a worker
    of ours. `settings`: the compatible doors, which are off by default, and what they need."""

    processors: tuple[str, ...]
    workers: tuple[str, ...]
    settings: Mapping[str, str]


#: No worker for `mri-lab`: the old lab machine does its jobs.
HOSPITAL = Served(
    ("mri", "gene-expression", "multimodal", "mri-lab"),
    ("mri", "gene-expression", "multimodal"),
    {
        "SLUICE_GATEWAY_BRAIN_TUMOUR": "true",
        "SLUICE_CALLBACK_SHAPES": str(EXAMPLE.parents[1] / "docs" / "callback_shapes" / "brain_tumour.toml"),
        "SLUICE_GATEWAY_MRI": "networks",
        "SLUICE_GATEWAY_MRI_NETWORKS": "127.0.0.0/8",
        "USE_LOCAL_INFERENCE": "true",
    },
)
START_S = 150.0
STOP_S = 40.0
_BEGAN = time.monotonic()


#: A file in each folder that a demonstration made and may empty.
MARK = ".made-by-sluice-demo"
INTERRUPTED = 130


class DemoError(Exception):
    """The demonstration can't go on. The message says what happened and the next step."""


def say(text: str) -> None:
    """Print a line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {text}", flush=True)


def check_ports(*ports: int) -> None:
    """Raise DemoError if a port is taken."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise DemoError(
                    f"Port {port} is in use. End the program that has it, or run"
                    " `python examples/hospital/demo --backend-port N --gateway-port N`."
                ) from None


def environment_of(example: Path, root: Path) -> Path:
    """Return the interpreter of an environment with an example's requirements; makes it the first time."""
    requirements = example / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = root / ".tools" / example.name
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    if not stamp.is_file() or stamp.read_text() != wanted:
        uv = shutil.which("uv") or str(root / ".tools" / "uv" / "bin" / "uv")
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)], cwd=example)
        stamp.write_text(wanted)
        say(f"the backend's packages are installed into .tools/{example.name}")
    return python


def exit_status(demonstrate: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a demonstration to its exit status. Ctrl-C stops everything that it started."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        for folder in (options.home, options.output):
            check_folder(folder)
        return demonstrate(options)
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.", file=sys.stderr)
        return INTERRUPTED
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def check_folder(folder: Path) -> None:
    """Raise DemoError for a folder that holds files which no demonstration made: it would be emptied."""
    if (folder / MARK).exists() or not folder.exists():
        return
    own = Path(__file__).resolve().parents[3] / ".sluice"
    if folder.is_dir() and (own in folder.resolve().parents or not any(folder.iterdir())):
        return
    raise DemoError(
        f"{folder} holds files that no demonstration made; it would be emptied. Name a new or empty folder."
    )


def emptied(folder: Path) -> None:
    """Empty the folder, or make it. Raises DemoError as `check_folder`."""
    check_folder(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


@dataclass(frozen=True, slots=True)
class Sluice:
    """Sluice, which may still be starting. `url`: of its gateway."""

    url: str
    _up: subprocess.Popen[bytes]
    _log: Path

    def wait(self) -> None:
        """Wait until every service is ready. Raises DemoError."""
        try:
            status = self._up.wait(START_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"sluice was not ready after {START_S:.0f} s:\n{_end_of(self._log)}") from None
        if status != 0:
            raise DemoError(f"sluice did not start:\n{_end_of(self._log)}")
        say("sluice is ready")


@contextmanager
def sluice(root: Path, home: Path, port: int, served: Served) -> Iterator[Sluice]:
    """Start sluice; stop it at the end."""
    environment = os.environ | {
        "SLUICE_HOME": str(home),
        "SLUICE_PROCESSORS": ",".join(served.processors),
        "SLUICE_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        **served.settings,
    }
    command = [sys.executable, "-m", "streams.cli"]
    down = partial(subprocess.run, [*command, "down"], env=environment, cwd=root, capture_output=True, timeout=STOP_S)
    if home.exists():  # an earlier run that was killed
        down(check=False)
    emptied(home)
    say(f"sluice is started: Kafka, registry, Postgres, gateway and {len(served.workers)} workers")
    services = ("sink", "timekeeper", "gateway", *(f"worker-{name}" for name in served.workers))
    only = [word for name in services for word in ("--only", name)]
    up = [*command, "up", "--no-restart", *only]
    try:
        with running(up, home / "up.log", cwd=root, env=environment) as process:
            yield Sluice(f"http://127.0.0.1:{port}", process, home / "up.log")
    finally:
        say("sluice is being stopped")
        down(check=False)


@contextmanager
def django(
    python: Path, home: Path, port: int, sluice_url: str, callback_url: str, orthanc: Mapping[str, str]
) -> Iterator[str]:
    """Run the backend with an empty database; yield its URL."""
    data = home / "backend"
    data.mkdir(exist_ok=True)
    environment = without_ours() | {
        "HOSPITAL_DATA_DIR": str(data),
        "INFERENCE_URL": sluice_url,
        "CALLBACK_URL": callback_url,
        "PYTHONUNBUFFERED": "1",
        **orthanc,
    }
    _run([str(python), "manage.py", "migrate", "--verbosity", "0"], cwd=EXAMPLE, env=environment)
    command = [str(python), "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with running(command, data / "backend.log", cwd=EXAMPLE, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, data / "backend.log")
        say(f"Django is ready: {url}")
        yield url


def manage(python: Path, home: Path, *arguments: str) -> None:
    """Run a command of the backend's manage.py."""
    environment = without_ours() | {"HOSPITAL_DATA_DIR": str(home / "backend")}
    _run([str(python), "manage.py", *arguments], cwd=EXAMPLE, env=environment)


@contextmanager
def running(command: list[str], log: Path, *, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a session of its own, so that Ctrl-C ends it in our order; stop it at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True)
    try:
        yield process
    finally:
        _stop(process)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something answers at a URL. Raises DemoError."""
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise DemoError(f"Nothing answers at {url}:\n{_end_of(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _run(command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(command[:3])} failed:\n{done.stdout}{done.stderr}")


def without_ours() -> dict[str, str]:
    """Return the environment without this one's Python: the backend has its own."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
