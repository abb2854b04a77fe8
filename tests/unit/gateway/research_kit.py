"""A research backend's client at the door of research runs, on twins: the real processor over two documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx

from gateway.principal import Principal
from processors.protocol import Job, JobContext
from processors.research.contract import RESEARCH, ResearchInput
from processors.research.processor import PreparedRun, Research
from schemas.errors import JobTimeout
from schemas.states import Custody
from streams import wiring
from streams.testing import Flow
from tests.harness.gateway_app import serving

#: A flow has no worker for custody by lease.
_CONTRACT = replace(RESEARCH, custody="offset")
TEXT = "Bread is baked from flour, water and yeast. The dough has to rise before it is baked."


class OffsetResearch(Research):
    """The real processor. A query "too long" runs into its time limit."""

    policy = replace(Research.policy, custody=Custody.OFFSET)

    def prepare(self, job: Job[ResearchInput], ctx: JobContext) -> PreparedRun:
        if job.input.query == "too long":
            error = JobTimeout("The job's soft limit passed, and it stopped.")
            error.retryable = False
            raise error
        return super().prepare(job, ctx)


class Tokens:
    """Lets tenants in by their names."""

    async def principal(self, token: str) -> Principal | None:
        return None if token == "wrong" else Principal(token, frozenset({"read", "submit"}), "backend")


class ResearchBackend:
    """The client, and the installation behind the door: one gateway for all visits. A context manager."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "bread.md").write_text(f"# Bread\n\n{TEXT}\n")
        self._open = ExitStack()
        options = {"RESEARCH_DOCUMENTS": str(folder)}
        self.flow = self._open.enter_context(Flow(OffsetResearch, contracts=(_CONTRACT,), options=options))
        changes = {"gateway_auth": "open", "gateway_research": True, "leased": ("research",), **settings}
        self.settings = self.flow.settings.model_copy(update=changes)
        self._runner = self._open.enter_context(asyncio.Runner())
        self._serving = serving(self.settings)
        self.client, self.ports = self._runner.run(self._serving.__aenter__())
        self._open.callback(lambda: self._runner.run(self._serving.__aexit__(None, None, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def worker_asks(self) -> None:
        """Let a worker ask for a job, by which it is seen."""
        with closing(wiring.lease_store(self.settings)) as leases:
            leases.claim("research", "w1", 0, 1.0)

    def visit(self, use: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def used() -> Any:
            return await use(self.client)

        return self._runner.run(used())

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = self.visit(lambda client: client.request(method, path, **more))
        return answer

    def start(self, query: str = "What is bread made from?", **more: Any) -> str:
        answer = self.ask("POST", "/api/research/async", json={"query": query}, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def task(self, task_id: str, **more: Any) -> Any:
        answer = self.ask("GET", f"/api/task/{task_id}", **more)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
        return answer.json()

    def answered(self, **body: Any) -> httpx.Response:
        """Ask synchronously, and let the run end meanwhile."""

        async def both(client: httpx.AsyncClient) -> httpx.Response:
            asking = asyncio.create_task(client.post("/api/research", json=body))
            while not asking.done():
                await asyncio.to_thread(self.flow.settle)
                await asyncio.wait([asking], timeout=0.02)
            return await asking

        answer: httpx.Response = self.visit(both)
        return answer
