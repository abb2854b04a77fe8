"""Apicurio Registry with its data in an H2 file, so that the schema ids in old records stay valid.

Clients use its Confluent-compatible API. (Its Kafka storage is durable too, but takes 15 to 24 s to start.)
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping

from streams.stack import java
from streams.stack.artifacts import REGISTRY_VERSION, locked
from streams.stack.component import Home, StartContext
from streams.stack.downloads import Cache
from streams.stack.ports import HOST
from streams.stack.supervise import ServiceSpec

API = "/apis/ccompat/v7"
_PROBE_SECONDS = 2.0


class Registry:
    name = "registry"
    version = REGISTRY_VERSION
    ports: Mapping[str, int] = {name: 8081}

    def prepare(self, context: StartContext) -> None:
        context.cache.unpacked(self.name, locked(self.name)[0], context.report, context.check)
        context.home.data(self.name).mkdir(parents=True, exist_ok=True)

    def service(self, home: Home, ports: Mapping[str, int], cache: Cache) -> ServiceSpec:
        port = ports[self.name]
        address = f"http://{HOST}:{port}{API}"
        program = cache.folder_of(locked(self.name)[0]) / "quarkus-run.jar"
        runtime = java.java(heap="384m", scratch=home.scratch)
        return ServiceSpec(
            name=self.name,
            argv=(*runtime, "-jar", str(program)),
            env=java.environment() | self._settings(home, port),
            cwd=home.data(self.name),
            log=home.log(self.name),
            ports=(port,),
            ready=lambda: _answers(f"{address}/subjects"),
            facts={"version": self.version, "address": address},
        )

    def answers(self, address: str) -> bool:
        return _answers(f"{address}/subjects")

    def _settings(self, home: Home, port: int) -> dict[str, str]:
        return {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(port),
            # The management port: on all addresses by default; 0 is any free port.
            "QUARKUS_MANAGEMENT_HOST": HOST,
            "QUARKUS_MANAGEMENT_PORT": "0",
            # A list of subjects has 1000 at most by default, and says nothing of the others.
            "APICURIO_CCOMPAT_MAX_SUBJECTS": "1000000",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            # By default H2 flushes half a second after a commit, but an id that a client has must survive a kill.
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{home.data(self.name) / 'db'};WRITE_DELAY=0",
            # It rotates its own log file; output from before its logging is set up goes to the same file.
            "QUARKUS_LOG_LEVEL": "WARN",
            "QUARKUS_LOG_CATEGORY__IO_APICURIO__LEVEL": "WARN",
            "QUARKUS_LOG_CATEGORY__IO_QUARKUS_CONFIG__LEVEL": "ERROR",
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
            "QUARKUS_LOG_CONSOLE_ENABLED": "false",
            "QUARKUS_LOG_FILE_ENABLED": "true",
            "QUARKUS_LOG_FILE_JSON_ENABLED": "false",
            "QUARKUS_LOG_FILE_PATH": str(home.log(self.name)),
            "QUARKUS_LOG_FILE_ROTATION_MAX_FILE_SIZE": "10M",
            "QUARKUS_LOG_FILE_ROTATION_MAX_BACKUP_INDEX": "3",
            "QUARKUS_LOG_FILE_ROTATION_ROTATE_ON_BOOT": "false",
            "QUARKUS_BANNER_ENABLED": "false",
        }


def _answers(address: str) -> bool:
    # Without the proxies of the environment, because the address is on the loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=_PROBE_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):  # URLError is an OSError
        return False
