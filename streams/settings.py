"""The one reader of the environment. Every setting, its default, and what special values mean.

Addresses keep their usual names (KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL, DATABASE_URL); everything of ours begins with
SLUICE_. Where an address is not given, the local stack's is taken from its state file under SLUICE_HOME.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from processors.rollout import Rollout
    from schemas.topics import TopicNames

#: Written by `sluice up`: the local stack's addresses, by the names of the environment variables.
STACK_ENV_FILE = "stack-env.json"


def default_home() -> Path:
    """`.sluice` beside the nearest pyproject.toml above the working directory, else in it: the same wherever one stands."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".sluice").is_dir() or (folder / "pyproject.toml").exists():
            return folder / ".sluice"
    return here / ".sluice"


#: Addresses that keep the names everybody gives them.
_USUAL = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL")


def _usual(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True)

    # ── addresses ──
    kafka_bootstrap_servers: str = Field("", validation_alias=_usual("KAFKA_BOOTSTRAP_SERVERS"))
    schema_registry_url: str = Field("", validation_alias=_usual("SCHEMA_REGISTRY_URL"))
    database_url: SecretStr = Field(SecretStr(""), validation_alias=_usual("DATABASE_URL"))
    #: More librdkafka properties for every client (security.protocol, sasl.*), as JSON.
    kafka_config: dict[str, str | int] = Field(default_factory=dict)
    home: Path = Field(default_factory=default_home)
    #: Where claim-checked payloads live. "" means a folder under `home`.
    objects_url: str = ""

    # ── topics ──
    topic_prefix: str = ""
    partitions: int = Field(12, ge=1, le=1000)
    replication_factor: int = Field(1, ge=1)
    #: Whether producers may register schemas. Off in production: `sluice topics apply` does it.
    auto_register: bool = False

    # ── worker ──
    #: Processors a worker may run; empty means all that are installed.
    processors: Annotated[tuple[str, ...], NoDecode] = ()
    #: auto, cpu, cuda or cuda:N. `auto` is CUDA if a kernel really runs, else CPU with a warning.
    device: str = "auto"
    #: Folder of weights that goes before the ones beside each processor's module.
    weights_dir: Path | None = None
    #: Jobs in one batch at most, whatever the processor's policy says; None leaves it to the policy.
    max_batch: int | None = Field(None, ge=1)
    #: Seconds that a processor may take to load before its worker gives up, with the place where it hangs.
    load_timeout_s: float = Field(300.0, gt=0)
    #: Versions of processors side by side: `segmentation=1.0.0,2.0.0:10;embed=2` (processors/rollout.py). A processor
    #: that is not named runs the version of its plain entry point.
    rollout: str = ""
    #: Seconds that a stopping service may take to finish what it holds.
    drain_s: float = Field(25.0, ge=0)

    # ── store ──
    #: Days that ended jobs stay in Postgres, with their history and deliveries. None: for ever.
    keep_days: float | None = Field(None, gt=0)

    # ── callbacks ──
    #: Where callbacks to localhost really go, e.g. http://host.docker.internal:8000. "" leaves them as they are.
    backend_url: str = ""
    #: Hosts and networks a callback may reach besides public addresses: `localhost,10.0.0.0/8,*.corp.example`.
    callback_allow: Annotated[tuple[str, ...], NoDecode] = ()
    #: Signing secrets, newest first (whsec_… or base64). Two while a key is rotated. None: unsigned.
    callback_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    callback_timeout_s: float = Field(10.0, gt=0)
    callback_connections: int = Field(64, ge=1)
    #: inline: on a thread of the sink. service: by `sluice notify`, a process of its own.
    notify: str = Field("inline", pattern="^(inline|service)$")

    # ── health ──
    #: Where each service answers GET /livez, /readyz and /status: host:port, port 0 for a free one. "" is nowhere.
    health_address: str = Field("127.0.0.1:0", pattern=r"^$|^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")
    #: Seconds without a turn of its loop after which a service counts as hung. Longer than its longest turn.
    health_patience_s: float = Field(60.0, gt=0)

    # ── logging ──
    log_level: str = "info"
    #: auto (console on a terminal, else json), console or json.
    log_format: str = Field("auto", pattern="^(auto|console|json)$")

    @field_validator("processors", "callback_allow", "callback_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("rollout")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value:
            from processors.rollout import parse_rollout

            parse_rollout(value)
        return value

    @property
    def rollouts(self) -> dict[str, Rollout]:
        """SLUICE_ROLLOUT, by processor."""
        from processors.rollout import parse_rollout

        return parse_rollout(self.rollout)

    @property
    def topics(self) -> TopicNames:
        from schemas.topics import TopicNames

        return TopicNames(self.topic_prefix)

    @property
    def bootstrap(self) -> str:
        return self.kafka_bootstrap_servers or self._from_stack("KAFKA_BOOTSTRAP_SERVERS")

    @property
    def registry_url(self) -> str:
        return self.schema_registry_url or self._from_stack("SCHEMA_REGISTRY_URL")

    @property
    def database(self) -> str:
        return self.database_url.get_secret_value() or self._from_stack("DATABASE_URL")

    @property
    def callbacks_allowed(self) -> tuple[str, ...]:
        """What SLUICE_CALLBACK_ALLOW says; on the local stack, found by its state file, this machine if it says nothing."""
        return self.callback_allow or (() if self.database_url.get_secret_value() else ("localhost",))

    @property
    def objects(self) -> str:
        return self.objects_url or (self.home / "objects").absolute().as_uri()

    def _from_stack(self, name: str) -> str:
        path = self.home / STACK_ENV_FILE
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))[name])
        except (OSError, KeyError, ValueError) as error:
            raise Unreachable(
                f"Nothing runs here: no local stack has written its addresses to {path}, and {name} is not set.",
                next_step=f"Run `sluice up`, go to the folder where it runs, or set {name} (`sluice env` prints it there).",
            ) from error


def load_settings() -> Settings:
    """Settings from the environment. Raises UsageError that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]).upper()
        name = field if field in _USUAL else f"SLUICE_{field}"
        raise UsageError(
            f"The setting {name} can't be used: {first['msg'].removeprefix('Value error, ')}.",
            next_step="See docs/operations.md for every setting.",
        ) from error


def environment() -> dict[str, str]:
    """A copy of the environment, for starting a child process that shall inherit it."""
    return dict(os.environ)


def child_environment() -> dict[str, str]:
    """The environment for a processor's process: everything but the credentials that only its parent needs."""
    secret = secret_variables()
    return {name: value for name, value in os.environ.items() if name.upper() not in secret}


def secret_variables() -> set[str]:
    """Variables that hold credentials of the database, of Kafka and of callbacks: every setting that is a secret by its type,
    the properties of Kafka's clients (sasl.password), and libpq's own."""
    names = {"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "SLUICE_KAFKA_CONFIG"}
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation):
            names.add(f"SLUICE_{name}".upper())
            if isinstance(field.validation_alias, AliasChoices):
                names.update(str(choice).upper() for choice in field.validation_alias.choices)
    return names
