"""A research backend's client at the door of research runs, on twins: the real processor over two documents."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from processors.protocol import Job, JobContext
from processors.research.contract import RESEARCH, ResearchInput
from processors.research.processor import PreparedRun, Research
from schemas.errors import JobTimeout
from schemas.states import Custody
from streams import wiring
from streams.testing import Flow
from tests.harness.gateway_on_twins import GatewayOnTwins

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


class ResearchBackend(GatewayOnTwins):
    """The client, and the installation behind the door."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "bread.md").write_text(f"# Bread\n\n{TEXT}\n")
        flow = Flow(OffsetResearch, contracts=(_CONTRACT,), options={"RESEARCH_DOCUMENTS": str(folder)})
        super().__init__(flow, **{"gateway_research": True, "leased": ("research",), **settings})

    def worker_asks(self) -> None:
        """Let a worker ask for a job, by which it is seen."""
        with closing(wiring.lease_store(self.settings)) as leases:
            leases.claim("research", "w1", 0, 1.0)

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
