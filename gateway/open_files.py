"""The limit of open files: each connection is one, and each stream of events keeps its connection open."""

from __future__ import annotations

from streams import logs

log = logs.get("gateway")

#: Files that a gateway has open besides the connections of its clients.
OTHERS = 200


def raise_limit(connections: int) -> int | None:
    """Raise the soft limit of this process so that so many connections fit, and warn if the hard limit is lower.

    Returns the limit that holds now; None where the system has none.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    wanted = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft != unlimited and soft < wanted:
        log.warning(
            "open_files_limited",
            limit=soft,
            wanted=wanted,
            next_step="Raise the limit of open files (ulimit -n, LimitNOFILE), or lower SLUICE_GATEWAY_REQUESTS.",
        )
    return None if soft == unlimited else soft
