"""Lab machines on the real stack: each in a network namespace that reaches only the gateway's port, over TLS, with a token."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors.access_store import token_hash
from processors.segmentation.samples import make_samples
from schemas.records import Claim, SegmentationInput
from streams import wiring
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink import Sink
from streams.timekeeper import Timekeeper
from tests.harness.installation import installation
from tests.harness.isolated import Machine, relay_to
from tests.harness.lab import running_gateway
from tests.harness.scribe import Scribe
from tests.harness.services import SLUICE
from tests.harness.source_tree import ROOT
from tests.harness.waiting import in_thread, wait_until

pytestmark = pytest.mark.stack

#: How long a machine may take to start: two processes that import everything, on a busy machine.
START_S = 120.0
#: A certificate for `localhost` with its key. It is its own authority.
CERTIFICATE = ROOT / "tests" / "unit" / "connectors" / "localhost.pem"


class Lab:
    """An installation whose segmentation jobs are kept by lease, with a gateway; and machines that reach only the gateway."""

    def __init__(self, settings: Settings, relay: Path, port: int, token: str, folder: Path) -> None:
        self.settings = settings
        self.scribe = Scribe(settings)
        self.objects = wiring.object_store(settings)
        self.relay, self.port, self._folder = relay, port, folder
        self._token = token
        self.machines: list[Machine] = []

    def machine(self, *program: str) -> Machine:
        """Start a program on a machine of its own. Its environment has no address but the gateway's."""
        home = self._folder / f"machine-{len(self.machines)}"
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ} | {
            "SLUICE_HOME": str(home),
            "SLUICE_WORKER_GATEWAY": f"https://localhost:{self.port}",
            "SLUICE_GATEWAY_TOKEN": self._token,
            "SLUICE_WORKER_CA": str(CERTIFICATE),
            "SLUICE_WORKER_CERTIFICATE": str(CERTIFICATE),
            "SLUICE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SLUICE_LOG_FORMAT": "json",
        }
        made = Machine(home, self.relay, self.port, program, env)
        self.machines.append(made)
        return made

    def worker(self) -> Machine:
        made = self.machine(SLUICE, "worker", "segmentation", "--device", "cpu")
        wait_until(lambda: b"worker_ready" in made.log.read_bytes(), made.log.read_text, START_S)
        return made

    def submit(self, volume: Claim, threshold: float = 0.5) -> str:
        with Submitter(self.settings) as submitter:
            return submitter.submit("segmentation", SegmentationInput(volume, threshold=threshold)).job_id

    def row(self, query: str, job: str) -> tuple[Any, ...]:
        found = self.scribe.rows(query, job)
        return found[0] if found else ("none",)

    def wait(self, job: str, state: str) -> None:
        def now() -> str:
            return str(self.row("SELECT state FROM runs WHERE job_id = %s", job)[0])

        logs = [machine.log for machine in self.machines]
        wait_until(lambda: now() == state, lambda: f"{now()}: {[log.read_text() for log in logs]}", START_S)


@pytest.fixture(scope="module")
def lab(stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with ExitStack() as parts:
        made = parts.enter_context(installation(stack, folder / "home"))
        settings = made.model_copy(update={"leased": ("segmentation",)})
        token = f"slt_{secrets.token_urlsafe(32)}"
        with wiring.access_store(settings) as access:
            access.create_token(token_hash(token), "lab1", "*", ("work",), None)
        tls = {"gateway_tls_cert": CERTIFICATE, "gateway_tls_key": CERTIFICATE, "gateway_tls_client_ca": CERTIFICATE}
        url = parts.enter_context(running_gateway(settings, gateway_auth="token", **tls))
        parts.enter_context(in_thread(Sink(settings, notify=False).run))
        parts.enter_context(in_thread(Timekeeper(settings).run))
        port = int(url.rpartition(":")[2])
        relay = parts.enter_context(relay_to(port, folder / "relay"))
        running = Lab(settings, relay, port, token, folder)
        parts.callback(running.scribe.close)
        yield running
        for machine in running.machines:
            machine.send(signal.SIGKILL)
            machine.process.wait()


@pytest.fixture(scope="module")
def volume(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Claim:
    sample = make_samples(tmp_path_factory.mktemp("samples"), 1, seed=4242)[0]
    return lab.objects.put_file(sample.path, "application/gzip")


def test_a_machine_reaches_the_gateway_and_nothing_else(lab: Lab, stack: dict[str, str]) -> None:
    probe = """if True:
        import socket, sys
        def reaches(address):
            try:
                socket.create_connection(address, 2).close()
                return True
            except OSError:
                return False
        print([reaches((host, int(port))) for host, port in (each.split(":") for each in sys.argv[1:])])
    """
    kafka = stack["KAFKA_BOOTSTRAP_SERVERS"].split(",")[0]
    machine = lab.machine("python3", "-c", probe, f"127.0.0.1:{lab.port}", kafka)
    assert machine.process.wait(30) == 0, machine.log.read_text()
    assert machine.log.read_text().strip() == "[True, False]"
    machine.send(signal.SIGKILL)


def test_a_job_of_a_machine_that_was_killed_is_finished_by_another(lab: Lab, volume: Claim) -> None:
    first = lab.worker()
    job = lab.submit(volume)
    lab.wait(job, "COMPLETED")
    (output,) = lab.row("SELECT output FROM outcomes WHERE job_id = %s", job)
    mask = Claim(**output["mask"])
    path = lab.objects.fetch(mask, lab.settings.home)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == mask.sha256
    assert output["lesion_count"] > 0

    lost = lab.submit(volume, threshold=0.4)  # another input: the first one's output would be reused
    held = "SELECT state, worker FROM leases WHERE job_id = %s"
    wait_until(lambda: lab.row(held, lost)[0] == "held", lambda: str(lab.row(held, lost)))
    first.send(signal.SIGSTOP)
    assert lab.row(held, lost)[0] == "held"  # it was stopped in the middle
    first.send(signal.SIGKILL)
    second = lab.worker()
    lab.scribe.rows("UPDATE leases SET expires_at = now() WHERE job_id = %s RETURNING 1", lost)  # its time is over
    lab.wait(lost, "COMPLETED")
    assert lab.row("SELECT execution FROM runs WHERE job_id = %s", lost) == (2,)
    assert [kind for (kind,) in lab.scribe.rows("SELECT kind FROM history WHERE job_id = %s ORDER BY kind", lost)] == [
        "request",
        "result",
    ]
    home = second.log.parent
    assert second.stop() == 0, second.log.read_text()
    assert not list((home / "work").iterdir())  # no input is left on the machine
