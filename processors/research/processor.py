"""The processor `research`: checks a query, and runs its graph of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processors.language.loading import LANGUAGE_OPTIONS, open_language_model
from processors.policy import Batch, Limits, Policy, Recycle
from processors.protocol import Job, JobContext, LoadContext
from processors.research.contract import ResearchInput, ResearchOutput
from processors.research.documents import DocumentFolder
from processors.research.run import ResearchRun, ResearchTools
from processors.research.terms import Terms
from schemas.errors import InvalidInput, JobError, StartupError
from schemas.states import Custody

#: Characters of a query and of a constraint, and constraints of a run: its state has to fit into a checkpoint.
LONGEST_QUERY = 4000
MOST_CONSTRAINTS = 10


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """`session_id`: of the result, if the input names none."""

    run: ResearchRun
    session_id: str


class Research:
    name = "research"
    version = "1.0"
    request = ResearchInput
    result = ResearchOutput
    options: tuple[str, ...] = ("RESEARCH_DOCUMENTS", *LANGUAGE_OPTIONS)
    # The old worker's limits: 3300 s soft, 3600 s hard, one job at a time, a fresh process every 50. A run whose process dies
    # loses at most the stage that it was in, so it may die more often than other jobs before it is blamed.
    policy = Policy(
        custody=Custody.LEASE,
        batch=Batch(1),
        limits=Limits(soft_ms=3_300_000, hard_ms=3_600_000, executions=6),
        recycle=Recycle(jobs=50),
        in_flight=1,
    )
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        import kiwipiepy  # noqa: F401 - a worker that lacks it stops here, not at the first Korean query

        folder = None
        if given := ctx.option("RESEARCH_DOCUMENTS"):
            path = Path(given).expanduser().absolute()
            if not path.is_dir():
                raise StartupError(
                    f"RESEARCH_DOCUMENTS names {path}, which is no folder.",
                    next_step="Give the folder with the documents to search (.txt and .md), or leave it out.",
                )
            folder = DocumentFolder(path)
        self.tools = ResearchTools(folder, Terms(), open_language_model(ctx))

    def prepare(self, job: Job[ResearchInput], ctx: JobContext) -> PreparedRun:
        given = ResearchInput(
            " ".join(job.input.query.split()),
            [text for each in job.input.constraints if (text := " ".join(each.split()))],
            job.input.session_id,
        )
        if not given.query:
            raise InvalidInput("The query is empty.", next_step="Ask a question.")
        if len(given.constraints) > MOST_CONSTRAINTS:
            raise InvalidInput(f"There are more than {MOST_CONSTRAINTS} constraints.")
        if max(map(len, (given.query, *given.constraints))) > LONGEST_QUERY:
            raise InvalidInput(f"The query or a constraint has more than {LONGEST_QUERY} characters.")
        return PreparedRun(self.open_run(given, job, ctx), job.header.job_id)

    def open_run(self, given: ResearchInput, job: Job[ResearchInput], ctx: JobContext) -> ResearchRun:
        """Return the run of a job whose input was checked."""
        return ResearchRun(given, ctx, self.tools, f"{job.header.job_id}:{job.header.run}")

    def run(self, items: Sequence[PreparedRun]) -> Sequence[ResearchOutput | JobError]:
        return [item.run.result(item.session_id) for item in items]

    def finish(self, job: Job[ResearchInput], raw: ResearchOutput, ctx: JobContext) -> ResearchOutput:
        return raw
