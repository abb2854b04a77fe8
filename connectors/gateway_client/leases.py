"""Leases through a gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from connectors.gateway_client.client import GatewayClient
from connectors.gateway_client.wire import answer_from_json, grant_from_json, hold_to_json
from connectors.lease_store import EXECUTIONS, Grant, HeartbeatAnswer, Hold
from schemas.errors import Unreachable

T = TypeVar("T")


class GatewayLeases:
    """Implements `connectors.lease_store.WorkerLeases`. `worker_id` is sent with calls for which the port names no worker."""

    def __init__(self, client: GatewayClient, worker_id: str) -> None:
        self._client = client
        self._worker_id = worker_id

    def claim(
        self,
        processor: str,
        worker_id: str,
        count: int,
        lease_s: float,
        *,
        executions: int = EXECUTIONS,
        wait_s: float = 0.0,
    ) -> list[Grant]:
        body = {
            "processor": processor,
            "worker_id": worker_id,
            "count": count,
            "lease_s": lease_s,
            "executions": executions,
            "wait_s": wait_s,
        }
        answer = self._client.call("POST", "/leases/claim", body, wait_s=wait_s)
        return _understood(lambda: [grant_from_json(each) for each in answer["leases"]])

    def heartbeat(self, worker_id: str, holds: Sequence[Hold], lease_s: float) -> HeartbeatAnswer:
        if not holds:
            return HeartbeatAnswer()
        body = {"worker_id": worker_id, "lease_s": lease_s, "holds": [hold_to_json(hold) for hold in holds]}
        answer = self._client.call("POST", "/leases/heartbeat", body)
        return _understood(lambda: answer_from_json(answer))

    def release(self, job_id: str, run: int, fence: int, *, started: bool) -> bool:
        body = {"worker_id": self._worker_id, "job_id": job_id, "run": run, "fence": fence, "started": started}
        answer = self._client.call("POST", "/leases/release", body)
        return _understood(lambda: bool(answer["released"]))

    def settle(self, job_id: str, run: int, fence: int) -> bool:
        """Do nothing: the gateway settled the lease when the log had the result (`results.py`)."""
        return True

    def close(self) -> None:
        self._client.close()


def _understood(read: Callable[[], T]) -> T:
    """Return what `read` makes of an answer. Raises Unreachable for an answer that another version may have given."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(
            "The gateway's answer is not understood; it may be of another version.",
            next_step="Install the same version of sluice here and there.",
        ) from error
