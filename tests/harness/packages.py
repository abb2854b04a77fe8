"""A processor's package as if it were installed: on the path, with the entry points of its pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path


def on_the_path(package: Path, site: Path) -> str:
    """What PYTHONPATH must be, so that `package` (a folder with a pyproject.toml) counts as installed. `site`: a new folder."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(site), str(package), *([before] if before else [])])
