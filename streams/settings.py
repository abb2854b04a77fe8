"""The settings: every environment variable that the project reads, its default and its special values.

Addresses keep their common names (KAFKA_BOOTSTRAP_SERVERS, SCHEMA_REGISTRY_URL, DATABASE_URL); all other variables begin with
SLUICE_. An address that is not set is taken from the local stack's state file under SLUICE_HOME.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict, SettingsError

from schemas.contract import default_processors
from schemas.errors import Unreachable, UsageError
from schemas.states import Custody
from streams.callback_settings import CallbackSettings
from streams.gateway_settings import GatewaySettings

if TYPE_CHECKING:
    from processors.rollout import Rollout
    from schemas.contract import AnyContract
    from schemas.topics import TopicNames

#: File of the local stack's addresses, by the names of their environment variables. `sluice up` writes it.
STACK_ENV_FILE = "stack-env.json"


def default_home() -> Path:
    """Return `.sluice` of the project that holds the working directory, else of the working directory itself.

    The project is the nearest folder upwards with a `.sluice` or a pyproject.toml.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".sluice").is_dir() or (folder / "pyproject.toml").exists():
            return folder / ".sluice"
    return here / ".sluice"


#: Variables with common names, without the SLUICE_ prefix.
_USUAL = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "SCHEMA_REGISTRY_URL",
    "DATABASE_URL",
    "DJANGO_URL",
    "MAIN_VM_IP",
    "USE_LOCAL_INFERENCE",
)


def _usual(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class Settings(GatewaySettings, CallbackSettings):
    # No error and no log line shows a value that may hold credentials: inputs are hidden, and such fields have no repr.
    model_config = SettingsConfigDict(env_prefix="SLUICE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    # ── addresses ──
    #: Kafka brokers, host:port separated by commas. "": those of the local stack. memory:NAME: a log within the process.
    kafka_bootstrap_servers: str = Field("", validation_alias=_usual("KAFKA_BOOTSTRAP_SERVERS"))
    #: URL of the schema registry. "": the local stack's. memory:NAME: a registry within the process.
    schema_registry_url: str = Field("", repr=False, validation_alias=_usual("SCHEMA_REGISTRY_URL"))
    #: Postgres connection string. "": the local stack's. memory:NAME: stores within the process.
    database_url: SecretStr = Field(SecretStr(""), validation_alias=_usual("DATABASE_URL"))
    #: JSON object of further librdkafka properties for every Kafka client (security.protocol, sasl.*). Default: none.
    kafka_config: dict[str, str | int] = Field(default_factory=dict, repr=False)
    #: Folder for state files, schemas and stored objects. Default: `.sluice` of the project (see `default_home`).
    home: Path = Field(default_factory=default_home)
    #: URL of the object store, for payloads too large for the log (file://, s3://, …). "": the folder `objects` in `home`.
    objects_url: str = Field("", repr=False)
    #: JSON object of obstore's options for a cloud's object store: endpoint, region, access_key_id, secret_access_key, …
    #: Default: none, and the cloud's usual environment variables. An endpoint with http:// is used without TLS.
    objects_options: SecretStr = Field(SecretStr(""))
    #: Age below which `sluice objects collect` deletes nothing, in hours: longer than from storing a file to referring to it.
    objects_grace_h: float = Field(24.0, gt=0)
    #: Days for which a worker reuses the stored output of a processor with `memoize`. 0: it runs every job.
    memo_days: float = Field(30.0, ge=0)

    # ── uploads ──
    #: Upper limit of an uploaded file, in bytes, at least 1.
    upload_max_bytes: int = Field(4 * 1024**3, ge=1)
    #: Hours after the last byte until an unfinished upload expires and its pieces are deleted.
    upload_expires_h: float = Field(24.0, gt=0)
    #: Upper limit of what an uploaded zip may unpack to, in bytes. It may also be at most 200 times its own size.
    upload_max_unpacked_bytes: int = Field(16 * 1024**3, ge=1)

    # ── topics ──
    #: Prefix of every topic and consumer group, so that installations can share a cluster. "": none.
    topic_prefix: str = ""
    #: Partitions of each new topic, 1 to 1000.
    partitions: int = Field(4, ge=1, le=1000)
    #: Copies of each new topic's partitions, at least 1.
    replication_factor: int = Field(1, ge=1)
    #: True: producers register missing schemas. Keep it False in production, where `sluice topics apply` registers them.
    auto_register: bool = False

    # ── worker ──
    #: Names of the processors that this installation serves, by comma. Empty: all installed ones that are not optional.
    processors: Annotated[tuple[str, ...], NoDecode] = ()
    #: Names of processors whose jobs are kept by lease in this installation, whatever their contract and policy say, separated
    #: by commas. Give every service and every submitter the same value. Empty: only those whose contract says so.
    leased: Annotated[tuple[str, ...], NoDecode] = ()
    #: auto, cpu, cuda or cuda:N. auto: CUDA if a test kernel runs on it, else CPU with a warning.
    device: str = "auto"
    #: Folder that is searched for model weights first. None: only the folder beside each processor's module.
    weights_dir: Path | None = None
    #: Upper limit of jobs in one batch, at least 1. None: the limit of the processor's policy.
    max_batch: int | None = Field(None, ge=1)
    #: Seconds a processor may take to load. After that its worker stops it and logs where it hangs.
    load_timeout_s: float = Field(300.0, gt=0)
    #: MiB of resident memory that a processor's process may use, at least 64. Beyond it is killed, and the job that does it
    #: alone fails with OUT_OF_MEMORY. None: 80 % of the machine's memory, or of its cgroup's limit.
    child_memory_mib: int | None = Field(None, ge=64)
    #: Seconds a job may run that has no hard limit of its own, nor one by its processor's policy. Then its process is killed.
    hard_limit_s: float = Field(86_400.0, gt=0)
    #: Versions of processors to run side by side: `segmentation=1.0.0,2.0.0:10;embed=2`, where 10 is a percentage of the jobs
    #: (processors/rollout.py). A processor that is not named runs the version of its plain entry point.
    rollout: str = ""
    #: Seconds a stopping service may take to finish its work in flight. 0: none.
    drain_s: float = Field(25.0, ge=0)

    # ── store ──
    #: Days without any change after which a job ends as EXPIRED that has no deadline of its own. Set it below the retention of
    #: the requests topics (14 days): a job whose request has left the log can't run.
    deadline_days: float = Field(13.0, gt=0)
    #: Days that ended jobs are kept in Postgres, with their history and deliveries. None: forever.
    keep_days: float | None = Field(None, gt=0)

    #: Replays of one job, at least 1. Further ones are parked, unless they are forced.
    replay_limit: int = Field(5, ge=1)

    # ── router ──
    #: TOML file with the router's rules (docs/routing.md). None: no router; `sluice up` starts one only if it is set.
    router_rules: Path | None = None

    # ── lab worker ──
    #: URL of the gateway through which this machine's workers get their jobs, over HTTPS alone. "": from Kafka.
    worker_gateway: str = Field("", repr=False)
    #: Token with the scope `work`, for SLUICE_WORKER_GATEWAY. "": that of SLUICE_GATEWAY_TOKEN_FILE.
    gateway_token: SecretStr = SecretStr("")
    #: File that holds the token. None: no token, where a client certificate is enough.
    gateway_token_file: Path | None = None
    #: File of the authorities that may sign the gateway's certificate. None: the system's.
    worker_ca: Path | None = None
    #: Files of this machine's client certificate and its key, for mutual TLS. None: none.
    worker_certificate: Path | None = None
    worker_key: Path | None = None

    # ── the local stack ──
    #: Sinks that `sluice up` starts, at least 1. None: as many as the machine's cores make useful.
    sinks: int | None = Field(None, ge=1)
    #: Workers that `sluice up` starts of each light processor, at least 1. None: as many as the machine's cores make useful.
    light_workers: int | None = Field(None, ge=1)

    # ── health ──
    #: Address where a service answers GET /livez, /readyz and /status: host:port, port 0 for a free one. "": no server.
    health_address: str = Field("127.0.0.1:0", pattern=r"^$|^(\[[0-9a-fA-F:]+\]|[^\s:\[\]]+):\d{1,5}$")
    #: Seconds without a turn of a service's loop after which it counts as hung. Set it above the longest turn.
    health_patience_s: float = Field(60.0, gt=0)

    # ── logging ──
    #: Lowest level that is logged: debug, info, warning, error or critical.
    log_level: str = "info"
    #: auto, console or json. auto: console on a terminal, else json.
    log_format: str = Field("auto", pattern="^(auto|console|json)$")

    @field_validator("processors", "leased", "callback_allow", "callback_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("objects_options")
    @classmethod
    def _an_object_of_texts(cls, value: SecretStr) -> SecretStr:
        try:
            options = json.loads(value.get_secret_value() or "{}")
        except ValueError:
            options = None
        if not isinstance(options, dict) or not all(isinstance(each, str) for each in options.values()):
            raise ValueError("it must be a JSON object whose values are texts")
        return value

    @field_validator("rollout")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value:
            from processors.rollout import parse_rollout

            parse_rollout(value)
        return value

    def custody(self, made: AnyContract) -> Custody:
        """Return who owns a processor's waiting jobs in this installation. Everything that needs to know asks here."""
        return Custody.LEASE if made.name in self.leased else Custody(made.custody)

    @property
    def rollouts(self) -> dict[str, Rollout]:
        """Return SLUICE_ROLLOUT by processor."""
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
    def gateway(self) -> str:
        """Return SLUICE_GATEWAY_URL, else the local stack's. Raises Unreachable if there is neither."""
        return self.gateway_url or self._from_stack("SLUICE_GATEWAY_URL")

    @property
    def gateway_secret(self) -> str:
        """Return the token for SLUICE_WORKER_GATEWAY; "" for none. Raises UsageError for a file that can't be read."""
        if self.gateway_token.get_secret_value() or self.gateway_token_file is None:
            return self.gateway_token.get_secret_value()
        try:
            return self.gateway_token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The file of SLUICE_GATEWAY_TOKEN_FILE can't be read: {type(error).__name__}.",
                next_step="Let it hold the token alone, readable by the worker's user.",
            ) from error

    @property
    def served_processors(self) -> list[str]:
        """Return the names of the processors that this installation serves."""
        return list(self.processors) or default_processors()

    @property
    def callbacks_allowed(self) -> tuple[str, ...]:
        """Return SLUICE_CALLBACK_ALLOW; if it is empty on the local stack (DATABASE_URL is not set), this machine."""
        return self.callback_allow or (() if self.database_url.get_secret_value() else ("localhost",))

    @property
    def objects(self) -> str:
        return self.objects_url or (self.home / "objects").absolute().as_uri()

    @property
    def object_options(self) -> dict[str, str]:
        """Return SLUICE_OBJECTS_OPTIONS."""
        options: dict[str, str] = json.loads(self.objects_options.get_secret_value() or "{}")
        return options

    def _from_stack(self, name: str) -> str:
        path = self.home / STACK_ENV_FILE
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))[name])
        except (OSError, KeyError, ValueError) as error:
            raise Unreachable(
                f"There is no local stack here: {path} holds no addresses, and {name} is not set.",
                next_step=f"Run `sluice up`, go to the folder where it runs, or set {name} (`sluice env` prints it there).",
            ) from error


def load_settings() -> Settings:
    """Read the settings from the environment. Raises UsageError that names the variable."""
    try:
        return Settings()
    except SettingsError as error:
        names = [name for name in Settings.model_fields if f'"{name}"' in str(error)]
        raise UsageError(
            f"The setting SLUICE_{names[0].upper() if names else ''} is not valid JSON.",
            next_step="See docs/operations.md for every setting.",
        ) from None  # the cause holds the text
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]).upper()
        name = field if field in _USUAL else f"SLUICE_{field}"
        raise UsageError(
            f"The setting {name} is invalid: {first['msg'].removeprefix('Value error, ')}.",
            next_step="See docs/operations.md for every setting.",
        ) from error
