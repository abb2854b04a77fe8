"""Claims that wait in a queue, and workers that hang up at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.lease_store import Grant
from gateway.lab_claims import Claim, ClaimQueue
from schemas.errors import Unreachable

CLAIM = Claim("echo", None, "lab1/box", 1, 60.0, 3)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = Grant("j", 0, 1, 1, 0, 7, "echo", "live", b"k", b"v", (), None, NOW, NOW)


class Store:
    """Stands in for the pool and its store: grants `jobs` in turn, once `answer` is set, and notes what is released."""

    def __init__(self, jobs: int = 0) -> None:
        self.jobs = jobs
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.answer.set()
        self.looks = 0
        self.released: list[int] = []
        self.on_grant: Callable[[], None] = lambda: None
        self.error: Exception | None = None

    async def call(self, use: Callable[[Any], Any]) -> Any:
        self.asked.set()
        await self.answer.wait()
        return use(self)

    def claim(self, *_: Any, **__: Any) -> list[Grant]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        if self.jobs == 0:
            return []
        self.jobs -= 1
        self.on_grant()
        return [GRANT]

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        self.released.append(fence)
        self.jobs += 1
        return True


def queue(store: Store, stopping: asyncio.Event | None = None) -> ClaimQueue:
    pool: Any = store
    return ClaimQueue(pool, stopping or asyncio.Event())


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never became true")


async def waits(event: asyncio.Event) -> None:
    await event.wait()


def test_what_is_granted_while_its_worker_hangs_up_is_released() -> None:
    async def scenario() -> None:
        store, gone = Store(1), asyncio.Event()
        store.answer.clear()
        claim = asyncio.create_task(queue(store).claim(CLAIM, 30.0, waits(gone)))
        await store.asked.wait()
        gone.set()
        assert await claim == []
        store.answer.set()
        await until(lambda: store.released == [7])

    asyncio.run(scenario())


def test_what_is_granted_at_the_moment_of_hanging_up_is_released() -> None:
    async def scenario() -> None:
        store, gone = Store(1), asyncio.Event()
        store.on_grant = gone.set
        await queue(store).claim(CLAIM, 30.0, waits(gone))
        assert store.released == [7]

    asyncio.run(scenario())


def test_a_notice_wakes_one_look_for_all_that_wait_and_jobs_go_to_the_first() -> None:
    async def scenario() -> None:
        store, never = Store(), asyncio.Event()
        waiting = queue(store)
        claims = [asyncio.create_task(waiting.claim(CLAIM, 30.0, waits(never))) for _ in range(50)]
        await until(lambda: store.looks == 1)
        store.jobs = 1
        waiting.notice({"echo"})
        await until(lambda: store.looks == 3)  # one that finds the job, one that finds no more
        await until(claims[0].done)
        assert claims[0].result() == [GRANT]
        assert not any(claim.done() for claim in claims[1:])
        for claim in claims:
            claim.cancel()
        await asyncio.gather(*claims, return_exceptions=True)

    asyncio.run(scenario())


def test_a_database_that_is_away_is_said_to_all_that_wait() -> None:
    async def scenario() -> None:
        store, never = Store(), asyncio.Event()
        store.error = Unreachable("Postgres is away")
        waiting = queue(store)
        claims = [waiting.claim(CLAIM, 30.0, waits(never)) for _ in range(3)]
        found = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(each) for each in found] == [Unreachable] * 3
        store.error, store.jobs = None, 1
        assert await waiting.claim(CLAIM, 30.0, waits(never)) == [GRANT]

    asyncio.run(scenario())


def test_a_gateway_that_stops_answers_claims_at_once() -> None:
    async def scenario() -> None:
        stopping, never = asyncio.Event(), asyncio.Event()
        claim = asyncio.create_task(queue(Store(), stopping).claim(CLAIM, 30.0, waits(never)))
        await asyncio.sleep(0)
        stopping.set()
        assert await asyncio.wait_for(claim, 5) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_claim_that_waits_for_nothing_gets_one_look(jobs: int) -> None:
    async def scenario() -> None:
        store = Store(jobs)
        assert len(await queue(store).claim(CLAIM, 0.0, waits(asyncio.Event()))) == jobs
        assert store.looks == 1

    asyncio.run(scenario())
