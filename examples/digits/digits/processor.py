"""The processor `digits`: a sheet in, a digit and its probability for each line out."""

from __future__ import annotations

from collections.abc import Sequence

from processors.policy import Batch, Limits, Policy
from processors.protocol import Job, JobContext, LoadContext
from schemas.errors import InvalidInput

from digits.contract import DigitsInput, DigitsOutput
from digits.model import BadSheet, DigitModel, Image, read_sheet

WEIGHTS_SHA256 = "b63ce40ba48dc0c8afc87f9200c03b8566220eb524efebd6688a6420b0e988e6"


class Digits:
    name = "digits"
    version = "1"
    request = DigitsInput
    result = DigitsOutput
    policy = Policy(batch=Batch(max_size=1), limits=Limits(soft_ms=50_000, hard_ms=60_000))
    model_sha256 = ""

    def load(self, ctx: LoadContext) -> None:
        self._model = DigitModel.load(ctx.weights("digits.json", WEIGHTS_SHA256))
        self.model_sha256 = WEIGHTS_SHA256

    def prepare(self, job: Job[DigitsInput], ctx: JobContext) -> list[Image]:
        try:
            return read_sheet(ctx.open(job.input.sheet))
        except BadSheet as error:
            raise InvalidInput(str(error)) from error

    def run(self, items: Sequence[list[Image]]) -> Sequence[list[tuple[int, float]]]:
        return [[self._model.read(image) for image in images] for images in items]

    def finish(self, job: Job[DigitsInput], raw: list[tuple[int, float]], ctx: JobContext) -> DigitsOutput:
        return DigitsOutput("".join(str(digit) for digit, _ in raw), [round(share, 4) for _, share in raw])
