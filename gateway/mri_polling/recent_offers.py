"""Offers that polling clients got lately. Workers do not identify themselves, and people try the connection with curl.

A worker reports at once on a request that it gets. So a client whose last offer was not taken up is given nothing for a while:
then a curl in a loop delays one request once, and the workers have the next polls for themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from connectors.lease_store import Hold

#: Most clients that are remembered; the oldest are forgotten first.
MOST_CLIENTS = 10_000


class RecentOffers:
    """Used by one event loop. `pause_s`: for how long, counted from the offer. `clock`: monotonic seconds."""

    def __init__(self, pause_s: float, clock: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._offered: OrderedDict[Hashable, tuple[Hold, float]] = OrderedDict()

    def offered(self, client: Hashable, hold: Hold) -> None:
        self._offered[client] = hold, self._clock() + self._pause_s
        self._offered.move_to_end(client)
        while len(self._offered) > MOST_CLIENTS:
            self._offered.popitem(last=False)

    def last_offer(self, client: Hashable) -> Hold | None:
        """Return what this client was offered within the pause; None if nothing was."""
        hold, until = self._offered.get(client, (None, 0.0))
        if hold is not None and self._clock() >= until:
            del self._offered[client]
            return None
        return hold

    def forget(self, client: Hashable) -> None:
        """The client took its offer up."""
        self._offered.pop(client, None)
