"""Submits jobs to sluice, as load.py says: `python -m bench.compare.sluice_client`."""

from __future__ import annotations

from collections.abc import Sequence

from bench.compare.load import Job, serve
from schemas.records import EchoInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings, load_settings


class SluiceSubmitter:
    def __init__(self, settings: Settings, submitter: Submitter) -> None:
        self._settings = settings
        self._submitter = submitter

    def submit(self, job: Job) -> None:
        batch = job["id"].rpartition("-")[0]
        self._submitter.submit_nowait("echo", EchoInput(job["message"]), callback_url=job["url"], batch_id=batch)

    def submit_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.submit(job)
        self._submitter.flush()

    def rows(self, batch: str) -> int:
        with wiring.job_store(self._settings) as store:
            return store.counts(batch_id=batch).get("COMPLETED", 0)


def main() -> None:
    settings = load_settings()
    with Submitter(settings) as submitter:
        serve(SluiceSubmitter(settings, submitter))


if __name__ == "__main__":
    main()
