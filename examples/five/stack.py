"""Shared by the five systems: one sluice with the processors of all, the AI services' backend, and the list of callbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

import processes

EXAMPLE = Path(__file__).resolve().parents[1] / "ai_services"
#: Systems 3 to 5.
PROCESSORS = ("resume", "question", "evaluate", "speech", "research", "video")
TIMEOUT_S = 30.0


def served(root: Path) -> processes.Served:
    """Return the hospital's processors and doors with those of the other three systems."""
    hospital = processes.HOSPITAL
    settings = {
        **hospital.settings,
        "SLUICE_CALLBACK_SHAPES": str(root / "docs" / "callback_shapes"),
        "SLUICE_GATEWAY_RESEARCH": "true",
        "RESEARCH_DOCUMENTS": str(Path(__file__).with_name("documents")),
        "SLUICE_GATEWAY_VIDEO": "true",
        "VIDEO_ALLOW": "localhost,127.0.0.1",
        # Many workers on one machine: each takes its time to import, and none may take all cores.
        "SLUICE_LOAD_TIMEOUT_S": "300",
        "OMP_NUM_THREADS": "1",
    }
    return processes.Served((*hospital.processors, *PROCESSORS), (*hospital.workers, *PROCESSORS), settings)


@contextmanager
def ai_services(python: Path, home: Path, port: int, sluice_url: str) -> Iterator[str]:
    """Run the FastAPI backend of systems 3 to 5 on sluice's Postgres, in a schema of its own; yield its URL."""
    url, data = f"http://127.0.0.1:{port}", home / "ai-services"
    data.mkdir()
    environment = processes.without_ours() | {
        "BACKEND_DATABASE_URL": json.loads((home / "stack-env.json").read_text())["DATABASE_URL"],
        "SLUICE_GATEWAY_URL": sluice_url,
        "BACKEND_URL": url,
        "BACKEND_DATA": str(data),
        "PYTHONUNBUFFERED": "1",
    }
    command = [str(python), "-m", "uvicorn", "main:create_app", "--factory", "--port", str(port)]
    with processes.running(command, data / "backend.log", cwd=EXAMPLE, env=environment) as process:
        processes.wait_for(url, process, data / "backend.log")
        processes.say(f"the AI services' backend is ready: {url}")
        yield url


def callbacks(sluice_url: str) -> list[dict[str, Any]]:
    """Return every callback that sluice has sent, the oldest first."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = session().get(f"{sluice_url}/v1/deliveries", params={"limit": "100", **cursor}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        page = answer.json()
        found += page["items"]
        if not page["next_cursor"]:
            return sorted(found, key=lambda each: str(each["created_at"]))
        cursor = {"cursor": page["next_cursor"]}


def session() -> requests.Session:
    """Return a session that uses no proxy: everything is on this machine."""
    made = requests.Session()
    made.trust_env = False
    return made
