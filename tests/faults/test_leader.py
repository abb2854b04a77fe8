"""When the leading timekeeper is killed, stopped or cut off, another one leads within ten seconds."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from streams.settings import Settings
from streams.sink import Sink
from tests.harness.scribe import Scribe, header
from tests.harness.services import Service, running
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

FAILOVER_S = 10.0


@pytest.fixture
def scribe(settings: Settings) -> Iterator[Scribe]:
    made = Scribe(settings)
    with in_thread(Sink(settings, notify=False).run):
        yield made
    made.close()


def leader(scribe: Scribe) -> int | None:
    """Return the server process of the leader's session; None while there is no leader."""
    found = scribe.rows(
        "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()"
        " WHERE l.locktype = 'advisory' AND l.granted"
    )
    return int(found[0][0]) if found else None


def retries(scribe: Scribe, count: int) -> None:
    """So many jobs that failed once, until each is tried again."""
    jobs = [header() for _ in range(count)]
    for job in jobs:
        scribe.request(job)
        scribe.result(job, "retry", retry_in_ms=1)
    ids = [job.job_id for job in jobs]
    query = "SELECT count(*) FROM runs WHERE job_id = ANY(%s::uuid[]) AND attempt = 2"
    wait_until(lambda: scribe.rows(query, ids) == [(count,)], lambda: f"{scribe.rows(query, ids)} of them")


@pytest.mark.parametrize("fate", ["killed", "stopped", "cut off"])
def test_another_one_leads_within_ten_seconds_and_each_retry_is_published_once(
    settings: Settings, scribe: Scribe, fate: str
) -> None:
    with running(settings, ["timekeeper"]) as [first]:
        wait_until(lambda: leader(scribe) is not None, lambda: "no leader")
        before = leader(scribe)
        with running(settings, ["timekeeper"]):
            retries(scribe, 20)
            struck = time.monotonic()
            strike(scribe, first, fate, before)
            wait_until(lambda: leader(scribe) not in (None, before), lambda: "no new leader")
            assert time.monotonic() - struck < FAILOVER_S
            retries(scribe, 20)
            if fate == "stopped":
                first.process.send_signal(signal.SIGCONT)
    assert len(scribe.all_of(scribe.names.requests("echo"))) == 40 + 40


def strike(scribe: Scribe, leading: Service, fate: str, session: int | None) -> None:
    if fate == "killed":
        leading.kill()
    elif fate == "stopped":
        leading.process.send_signal(signal.SIGSTOP)
    else:
        scribe.rows("SELECT pg_terminate_backend(%s)", session)
