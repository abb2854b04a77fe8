"""The processor `resume`: reads a PDF or DOCX file on the CPU and returns its fields, by rules, layout and a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from processors.resume.contract import ResumeInput, ResumeOutput
from processors.resume.document import Document
from processors.resume.docx_file import read_docx
from processors.resume.extract import fields_of
from processors.resume.names import korean_words
from processors.resume.pdf import read_pdf
from schemas.errors import InvalidInput, JobCancelled, PayloadTooLarge

#: A résumé with photographs has a few MiB.
MAX_BYTES = 20 << 20
LANGUAGES = ("auto", "ko", "en")
#: First bytes of files that people send instead, and their names.
_OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Word or HWP file, or one protected by a password",
    b"{\\rtf": "an RTF file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"<!DOC": "an HTML page",
    b"<html": "an HTML page",
}


class Resume:
    """`prepare` does all the work, so jobs run side by side with those of other processors of a worker's CPU pool."""

    name = "resume"
    version = "1.0"
    request = ResumeInput
    result = ResumeOutput
    policy = Policy(
        batch=Batch(max_size=16, max_wait_ms=1.0), limits=Limits(soft_ms=20_000, hard_ms=40_000), in_flight=256
    )
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self._words = korean_words()

    def prepare(self, job: Job[ResumeInput], ctx: JobContext) -> ResumeOutput:
        """Read the document and find its fields. Raises InvalidInput, PayloadTooLarge, JobCancelled."""
        if job.input.language not in LANGUAGES:
            raise InvalidInput("The language is unknown.", next_step=f"Use one of {', '.join(LANGUAGES)}.")
        if job.input.document.size > MAX_BYTES:
            raise PayloadTooLarge(
                f"The document is larger than {MAX_BYTES >> 20} MiB.", next_step="Make its pictures smaller."
            )
        ctx.progress("reading", 10)
        document = _read(ctx.open(job.input.document), ctx)
        if ctx.cancelled():
            raise JobCancelled("The job was stopped after reading.")
        ctx.progress("structuring", 60)
        return fields_of(document, job.input.language, self._words)

    def run(self, items: Sequence[ResumeOutput]) -> Sequence[ResumeOutput]:
        return items

    def finish(self, job: Job[ResumeInput], raw: ResumeOutput, ctx: JobContext) -> ResumeOutput:
        return raw


def _read(path: Path, ctx: JobContext) -> Document:
    """Return the document of a file. Its bytes say of what kind it is."""
    with path.open("rb") as file:
        start = file.read(1024)
    if b"%PDF-" in start:
        return read_pdf(path, ctx.cancelled)
    if start.startswith(b"PK\x03\x04"):
        return read_docx(path, ctx.cancelled)
    if not start:
        raise InvalidInput("The file is empty.", next_step="Send a PDF or DOCX file.")
    named = next((name for first, name in _OTHERS.items() if start.startswith(first)), "neither PDF nor DOCX")
    raise InvalidInput(f"The file is {named}.", next_step="Send a PDF or DOCX file without a password.")
