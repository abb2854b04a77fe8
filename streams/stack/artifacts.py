"""The files the stack downloads, with their checksums, as resolved by jgo and committed in `artifacts.toml`.

After changing a version below, run `python -m streams.stack.artifacts`: it resolves again and rewrites the file.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LOCK = Path(__file__).with_name("artifacts.toml")
KAFKA_VERSION = "4.3.1"
REGISTRY_VERSION = "3.3.3"

_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# The broker logs through slf4j without depending on a backend for it; log4j's core is among its dependencies. The backend is
# resolved separately: resolved together, log4j's dependency management would replace the broker's own versions.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"


@dataclass(frozen=True, slots=True)
class Artifact:
    path: str
    """The path in a Maven repository."""
    sha256: str
    size: int


@cache
def locked(component: str) -> tuple[Artifact, ...]:
    """Return the committed artifacts of a component, in class path order."""
    return tuple(Artifact(**entry) for entry in tomllib.loads(LOCK.read_text())[component])


def resolve() -> dict[str, list[Artifact]]:
    """Resolve with jgo from Maven Central; downloads every file to compute its checksum."""
    import jgo  # needed only to rewrite the lock
    from jgo.maven import MavenContext

    # The registry's archive contains its dependencies.
    registry = MavenContext().project("io.apicurio", "apicurio-registry-app").at_version(REGISTRY_VERSION)
    wanted = {
        "kafka": [*jgo.resolve(_KAFKA), jgo.resolve(_LOGGING)[0]],
        "registry": [registry.artifact(classifier="all", packaging="tar.gz")],
    }
    return {
        component: [_described(Path(each.resolve()), each.groupId) for each in found]
        for component, found in wanted.items()
    }


def _described(file: Path, group: str) -> Artifact:
    artifact, version = file.parent.parent.name, file.parent.name
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Artifact(f"{group.replace('.', '/')}/{artifact}/{version}/{file.name}", digest, file.stat().st_size)


def as_toml(components: dict[str, list[Artifact]]) -> str:
    lines = ["# Written by `python -m streams.stack.artifacts`; do not edit.", ""]
    for component, artifacts in components.items():
        for each in artifacts:
            lines += [
                f"[[{component}]]",
                f'path = "{each.path}"',
                f'sha256 = "{each.sha256}"',
                f"size = {each.size}",
                "",
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    LOCK.write_text(as_toml(resolve()))
