"""Leases, results and progress through a gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from connectors.gateway_client.client import NotAGateway, NotLetIn
from connectors.gateway_client.leases import GatewayLeases
from connectors.gateway_client.wire import PROTOCOL
from schemas.contract import AnyContract
from schemas.errors import SluiceError, StartupError, Unreachable
from streams import logs, wiring
from streams.health.cached_probe import CachedProbe
from streams.health.loop_threads import LoopThreads
from streams.settings import Settings
from streams.worker.command_state import CommandState
from streams.worker.gateway.publisher import GatewayPublisher
from streams.worker.in_flight import InFlightJobs
from streams.worker.job import InFlightJob, JobOrigin
from streams.worker.job_source import JobSource
from streams.worker.lease_source.source import LeaseSource
from streams.worker.protocol import ChildConfig
from streams.worker.schema_ids import schema_ids
from streams.worker.supervision.supervisor import Supervisor
from streams.worker.transport import Facts, ResultPublisher

log = logs.get("worker")

#: How long one claim waits for a job. Longer saves little, and a stopping worker waits for the last one.
CLAIM_WAIT_S = 4.0


class NoCommands:
    """Commands of a worker that reads no topic: cancels come with the answers to heartbeats, and the gateway grants no job of
    a paused processor."""

    def __init__(self) -> None:
        self.state = CommandState()

    def start(self) -> None:
        """Nothing to read."""

    def wait_until_read(self) -> bool:
        return True

    def stop(self) -> None:
        """Nothing was started."""


class GatewayTransport:
    """Implements `streams.worker.transport.Transport`. Raises UsageError for an address or a token that can't be used."""

    def __init__(self, settings: Settings, threads: LoopThreads) -> None:
        self._settings = settings
        self._threads = threads
        self._client = wiring.gateway_client(settings, keep_alive=False)
        self._probe = CachedProbe(self._ask)
        self.commands = NoCommands()

    def facts(self, made: AnyContract) -> Facts:
        """Look up what a child needs; raises StartupError if this machine is refused or does not fit the gateway."""
        asked = {"processor": made.name, "protocol": PROTOCOL, "version": version("sluice")}
        try:
            answer = self._client.call("POST", "/join", asked)
            prefix, topics = str(answer["topic_prefix"]), [[str(name), str(found)] for name, found in answer["topics"]]
        except (NotLetIn, NotAGateway) as error:
            raise StartupError(error.message, next_step=error.next_step) from error
        except Unreachable:
            raise
        except SluiceError as error:
            raise StartupError(
                f"The gateway refused {made.name!r}: {error.message}", next_step=error.next_step
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise StartupError(
                f"What answers at {self._client.url} is not a gateway of this version.",
                next_step="Check SLUICE_WORKER_GATEWAY, and install the same version of sluice here and there.",
            ) from error
        if prefix != self._settings.topic_prefix:
            raise StartupError(
                f"The installation's topics begin with {prefix!r}, here SLUICE_TOPIC_PREFIX is "
                f"{self._settings.topic_prefix!r}.",
                next_step=f"Set SLUICE_TOPIC_PREFIX={prefix}.",
            )
        log.info("gateway_joined", processor=made.name, gateway=self._client.url, version=str(answer.get("version")))
        return Facts(topics, schema_ids(self._settings, made))

    def publisher(
        self, config: ChildConfig, in_flight: InFlightJobs, too_large: Callable[[InFlightJob], None]
    ) -> ResultPublisher:
        client = wiring.gateway_client(self._settings)
        return GatewayPublisher(client, in_flight, config.processor, config.worker_id, too_large, self._threads)

    def acknowledger(self, config: ChildConfig, publisher: ResultPublisher) -> Callable[[], None]:
        return lambda: None

    def source(
        self,
        config: ChildConfig,
        ready: Mapping[str, Any],
        in_flight: InFlightJobs,
        supervisor: Supervisor,
        on_revoked: Callable[[Sequence[JobOrigin]], None],
    ) -> JobSource:
        def open_store() -> GatewayLeases:
            return GatewayLeases(wiring.gateway_client(self._settings), config.worker_id)

        settings, threads = self._settings, self._threads
        return LeaseSource(
            settings, config, ready, in_flight, supervisor, open_store, threads, claim_wait_s=CLAIM_WAIT_S
        )

    def has_colleagues(self, processor: str) -> bool:
        return True  # nothing tells

    def fault(self) -> str | None:
        return self._probe.fault()

    def _ask(self) -> str | None:
        try:
            self._client.call("GET", "")
        except SluiceError as error:
            return error.message
        return None
