"""Stores the schemas of each release: `python -m schemas.release` writes those of this version.

CI checks that the current schemas are FULL_TRANSITIVE compatible with every stored release, so that records written years ago
stay readable. A released file never changes.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from schemas.avsc import request_schema, result_schema, self_contained
from schemas.contract import contract, known_processors

RELEASED = Path(__file__).parent / "released"


def current() -> dict[str, str]:
    """Return the current schemas, self-contained, by the role of their topic: `requests.echo`, `progress`, …"""
    shared = {"uploads": "Upload", "progress": "Progress", "control": "Control"}
    schemas = {role: self_contained(name) for role, name in shared.items()}
    for name in known_processors():
        made = contract(name)
        schemas[f"requests.{name}"] = request_schema(made)
        schemas[f"results.{name}"] = result_schema(made)
    return schemas


def released() -> dict[str, dict[str, str]]:
    """Return the schemas of every release, by version and role."""
    return {
        folder.name: {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.avsc"))}
        for folder in sorted(RELEASED.iterdir())
        if folder.is_dir()
    }


def write(folder: Path) -> None:
    """Write the current schemas, one file each. Raises FileExistsError if the folder exists: a release is written once."""
    folder.mkdir(parents=True)
    for role, schema in current().items():
        text = json.dumps(json.loads(schema), indent=1) + "\n"
        (folder / f"{role}.avsc").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    target = RELEASED / version("sluice")
    write(target)
    sys.stdout.write(f"wrote {len(current())} schemas to {target}\n")
