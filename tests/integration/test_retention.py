"""A case is erased and garbage is collected by the commands, with a real log and a real database."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.claim_uris import content_key
from schemas.records import Claim
from streams import wiring
from streams.client.uploads import accept
from streams.settings import Settings
from streams.sink import Sink
from tests.harness.command_line import CommandLine
from tests.harness.scribe import Scribe, header
from tests.harness.waiting import in_thread

pytestmark = pytest.mark.stack

SECRET = "Kim Minsoo 1971"


def age(settings: Settings) -> None:
    """Make all stored files two days older."""
    for path in (settings.home / "objects").rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 2 * 86_400,) * 2)


def test_a_case_is_erased_and_what_nothing_refers_to_is_collected(settings: Settings, scribe: Scribe) -> None:
    sluice, objects = CommandLine(settings), wiring.object_store(settings)

    def stored(claim: Claim) -> bool:
        return (settings.home / "objects" / content_key(claim.sha256)).exists()

    def put(data: str) -> Claim:
        return objects.put_bytes(data.encode())

    own, shared, claimed, garbage = put("own"), put("shared"), put("claimed"), put("garbage")
    for claim, case in ((own, SECRET), (shared, SECRET), (shared, "another")):
        accept(settings, claim, filename=f"scan of {case}.nii", case_id=case)
    job, other = header(case_id=SECRET, external_id=SECRET), header(case_id="another")
    with in_thread(Sink(settings, notify=False).run):
        for each, message in ((job, f"{SECRET} {claimed.uri}"), (other, "hello")):
            scribe.request(each, message)
            scribe.result(each)
            scribe.wait(each, "COMPLETED")
        unfinished = header(case_id=SECRET)
        scribe.request(unfinished, SECRET)
        scribe.wait(unfinished, "PENDING")

        planned = sluice.json("erase", "--case", SECRET, "--dry-run")
        erased = sluice.json("erase", "--case", SECRET)
        again = sluice.json("erase", "--case", SECRET)
        scribe.result(unfinished)
        scribe.wait(unfinished, "COMPLETED")
        scribe.wait_for_kinds(unfinished, "request", "result")

    counts: dict[str, Any] = {"jobs": 2, "uploads": 2, "cancelled": 1, "objects": 2, "shared": 1}
    assert {name: erased[name] for name in counts} == {name: planned[name] for name in counts} == counts
    assert (again["jobs"], again["objects"]) == (0, 0)
    assert [stored(each) for each in (own, claimed, shared, garbage)] == [False, False, True, True]
    assert SECRET not in everything(scribe)
    held = {each["topic"].removeprefix(settings.topic_prefix): each for each in erased["log"]}
    assert {name: held[name]["records"] for name in ("requests.echo", "results.echo", "uploads")} == {
        "requests.echo": 2,
        "results.echo": 1,
        "uploads": 2,
    }
    until = datetime.fromisoformat(held["requests.echo"]["until"])
    assert round((until - datetime.now(UTC)).total_seconds() / 86_400) == 14
    assert sluice("erase", "--case", "unknown").returncode == 5

    age(settings)
    assert sluice.json("objects", "collect", "--dry-run")["trashed"] == 1
    assert sluice.json("objects", "collect")["trashed"] == 1
    age(settings)
    assert sluice.json("objects", "collect")["deleted"] == 1
    assert [stored(each) for each in (shared, garbage)] == [True, False]


def everything(scribe: Scribe) -> str:
    """Return all rows of all tables but the log's offsets, as text."""
    tables = [name for (name,) in scribe.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return str([scribe.rows(f'SELECT row_to_json(t)::text FROM "{name}" AS t') for name in tables])
