"""`python -m gateway.route_list`: print the gateway's routes as JSON, and the setting that opens each closed door.

`sluice doctor` runs it as a process of its own, so that it imports the gateway as `sluice gateway` does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from gateway.app import ROUTES
from gateway.doors import DOORS
from schemas.errors import SluiceError
from streams.settings import Settings, load_settings


def groups(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield each group of routes: its name, its routes as `GET /path`, whether it is served, and the setting that opens it."""
    for module in ROUTES:
        name = module.__name__.rpartition(".")[2].replace("_", " ")
        yield {"name": name, "routes": routes_of(module.router), "open": True, "setting": None}
    for door in DOORS:
        yield {
            "name": door.name,
            "routes": routes_of(door.router),
            "open": door.is_open(settings),
            "setting": door.setting,
        }


def routes_of(router: APIRouter) -> list[str]:
    """Return a router's routes as `GET /path`."""
    return [
        f"{method} {route.path}"
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def main() -> int:
    """Print the groups. Returns the exit status."""
    try:
        found = list(groups(load_settings()))
    except SluiceError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
