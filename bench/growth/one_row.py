"""Measures one row on the stack that runs: `python -m bench.growth.one_row ROW_AS_JSON`. Prints a ThroughputReport as JSON.

A process of its own, because the settings are those of its environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bench.growth.rows import LARGEST_MESSAGE
from bench.throughput import Submit, measure
from schemas.records import EchoInput
from streams import wiring
from streams.cli.output import out_json
from streams.client.submitter import Submitter
from streams.settings import Settings, load_settings


def submits(settings: Settings, processor: str, payload: int) -> Submit:
    """Return what submits jobs of this many bytes each."""
    given = _file(settings, payload) if payload > LARGEST_MESSAGE else EchoInput("x" * payload)

    def submit(submitter: Submitter, url: str, jobs: int, batch: str) -> None:
        for _ in range(jobs):
            submitter.submit_nowait(processor, given, callback_url=url, batch_id=batch)
        submitter.flush()

    return submit


def _file(settings: Settings, size: int) -> dict[str, Any]:
    """Store a file of this size once; every job refers to it and reads it again."""
    return {"file": wiring.object_store(settings).put_bytes(b"x" * size)}


def main() -> None:
    row, settings = json.loads(sys.argv[1]), load_settings()
    submit = submits(settings, row["processor"], row["payload"])
    out_json(measure(settings, row["jobs"], row["warm_up"], submit))


if __name__ == "__main__":
    main()
