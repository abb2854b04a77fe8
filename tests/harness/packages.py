"""Processors of other distributions, as if they were installed: on PYTHONPATH, with entry points of their own."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from schemas.contract import DEFAULT_GROUP, OPTIONAL_GROUP

ROOT = Path(__file__).parents[2]


def on_the_path(package: Path, site: Path) -> str:
    """Install `package` (a folder with a pyproject.toml) into the new folder `site`. Returns the PYTHONPATH to run with."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    _write_distribution(site, project["name"], project["version"], project["entry-points"])
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(site), str(package), *([before] if before else [])])


def install(site: Path, name: str, contract: str, processors: Mapping[str, str], *, optional: bool = False) -> str:
    """Install a processor of the tests into the new folder `site`. Returns the PYTHONPATH to run with.

    Args:
        site: A folder that does not exist yet.
        name: The processor's name.
        contract: Where its contract is, as `module:attribute`.
        processors: Where its classes are, by entry point (`name`, or `name@label` for another version).
        optional: Served only where SLUICE_PROCESSORS names it.
    """
    points = {OPTIONAL_GROUP if optional else DEFAULT_GROUP: {name: contract}, "sluice.processors": processors}
    _write_distribution(site, f"sluice-{name}", "1.0", points)
    return os.pathsep.join([str(site), str(ROOT)])  # ROOT: the child process imports the tests' processors, too


def _write_distribution(site: Path, name: str, version: str, points: Mapping[str, Mapping[str, str]]) -> None:
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{entry} = {target}\n" for entry, target in entries.items())
        for group, entries in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
