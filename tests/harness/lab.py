"""Lab machines: a gateway on a port of its own, and leases that a worker claims through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from connectors.gateway_client.access import GatewayAccess
from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.leases import GatewayLeases
from connectors.lease_store import Expired, Grant, HeartbeatAnswer, Hold, LeaseStore, LeaseView
from gateway.service import Gateway
from streams import wiring
from streams.settings import Settings
from tests.harness.stores import Stores
from tests.harness.waiting import in_thread, wait_until


@contextmanager
def running_gateway(settings: Settings, **changes: Any) -> Iterator[str]:
    """Run a gateway in a thread of this process; yield its URL. It asks for no token unless `changes` say so."""
    more = {"gateway_address": "127.0.0.1:0", "gateway_auth": "open", "drain_s": 1.0, **changes}
    service = Gateway(settings.model_copy(update=more))
    with in_thread(service.run):
        wait_until(lambda: not service.health(ask=False).reasons, lambda: str(service.health(ask=False)))
        yield f"http://{service.address}"


class ThroughGateway:
    """A LeaseStore whose worker's calls go over HTTP; what only services call goes to the store itself.

    `holders`: the worker of each fence, because the gateway lets only the holder release a lease.
    """

    def __init__(self, url: str, store: LeaseStore, holders: dict[int, str]) -> None:
        self._client = GatewayClient(GatewayAccess(url))
        self._store = store
        self._holders = holders

    def claim(
        self, processor: str, worker_id: str, count: int, lease_s: float, *, tenant: str | None = None, **more: Any
    ) -> list[Grant]:
        grants = GatewayLeases(self._client, worker_id).claim(processor, worker_id, count, lease_s, **more)
        self._holders.update({grant.fence: worker_id for grant in grants})
        return grants

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        return GatewayLeases(self._client, worker_id).heartbeat(worker_id, holds, lease_s)

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        return GatewayLeases(self._client, self._holders[fence]).release(job_id, run, fence, started=started)

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        return self._store.settle(job_id, run, fence)

    def resume(self, worker_id: str, hold: Hold, lease_s: float) -> bool:
        return self._store.resume(f"default:open/{worker_id}", hold, lease_s)

    def expire(self, limit: int) -> list[Expired]:
        """A lease names its worker with the token that let it in."""
        return [replace(out, worker=out.worker.removeprefix("default:open/")) for out in self._store.expire(limit)]

    def find(self, job_id: str, run: int) -> LeaseView | None:
        return self._store.find(job_id, run)

    def live_workers(self, processor: str) -> frozenset[str]:
        return frozenset(worker.removeprefix("default:open/") for worker in self._store.live_workers(processor))

    def wait(self, timeout_s: float) -> frozenset[str]:
        return self._store.wait(timeout_s)

    def close(self) -> None:
        self._client.close()
        self._store.close()


class StoresBehindGateway(Stores):
    """Stores of one database, whose leases are claimed through a gateway."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings)
        self._url = url
        self._holders: dict[int, str] = {}

    def lease_store(self) -> LeaseStore:
        made: LeaseStore = self._opened(ThroughGateway(self._url, wiring.lease_store(self.settings), self._holders))
        return made
