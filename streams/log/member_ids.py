"""The client id of a worker in its consumer group: its worker id and the versions that it serves, `w1/1.0,2.0`.

Kafka shows the client id of each member to everyone, so a program on any machine can see which versions are served now.
"""

from __future__ import annotations

from collections.abc import Iterable


def member_id(worker_id: str, versions: Iterable[str]) -> str:
    return "/".join(filter(None, (worker_id, ",".join(versions))))


def worker_of(client_id: str) -> str:
    """Return the worker's id in a member's client id."""
    return client_id.partition("/")[0]


def versions_of(client_id: str) -> list[str]:
    """Return the versions in a member's client id; none if it does not name them, as of an older worker."""
    return list(filter(None, client_id.partition("/")[2].split(",")))
