"""The processor `research`, whose stages note their begin and end in a journal, and can be held: a test then kills them.

`installed` makes it the version `counted`; SLUICE_ROLLOUT=research=counted selects it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from processors.policy import LeasePolicy
from processors.protocol import Job, JobContext, LoadContext
from processors.research.contract import ResearchInput
from processors.research.graph import ResearchState, StageFunction
from processors.research.processor import Research
from processors.research.run import ResearchRun
from tests.harness.packages import install


class Journal:
    """A line for each step, in a file that outlives the process: `JOB begin STAGE` and `JOB end STAGE`.

    A step is held before its work while the file `hold-STAGE` is beside the journal. STAGE of a turn of "research" is
    `research-N`, N from 0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, job_id: str, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{job_id} {line}\n")

    def lines(self, job_id: str) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line.removeprefix(f"{job_id} ") for line in text.splitlines() if line.startswith(job_id)]

    def hold(self, step: str) -> Path:
        """Return the file that holds a step while it exists."""
        return self.path.with_name(f"hold-{step}")

    def wait(self, step: str) -> None:
        while self.hold(step).exists():
            time.sleep(0.01)


class CountedRun(ResearchRun):
    journal: Journal

    def stages(self) -> dict[str, StageFunction]:
        return {name: self._counted(name, stage) for name, stage in super().stages().items()}

    def _counted(self, name: str, stage: StageFunction) -> StageFunction:
        job_id = self._thread.partition(":")[0]

        def counted(state: ResearchState) -> ResearchState:
            step = f"{name}-{len(state['sections'])}" if name == "research" else name
            self.journal.note(job_id, f"begin {step}")
            self._begin(name, None)
            self.journal.wait(step)
            made = stage(state)
            self.journal.note(job_id, f"end {step}")
            return made

        return counted


class CountedResearch(Research):
    version = "counted"
    options = (*Research.options, "RESEARCH_JOURNAL")
    policy = replace(Research.policy, lease=LeasePolicy(1.0))

    def load(self, ctx: LoadContext) -> None:
        super().load(ctx)
        self._journal = Journal(Path(ctx.option("RESEARCH_JOURNAL")))

    def open_run(self, given: ResearchInput, job: Job[ResearchInput], ctx: JobContext) -> ResearchRun:
        run = CountedRun(given, ctx, self.tools, f"{job.header.job_id}:{job.header.run}")
        run.journal = self._journal
        return run


def installed(site: Path) -> str:
    """Install it as the version `counted`. Returns the PYTHONPATH to run with."""
    at = f"{__name__}:{CountedResearch.__name__}"
    points = {"research": at, "research@counted": at}
    return install(site, "research", "processors.research.contract:RESEARCH", points, optional=True)
