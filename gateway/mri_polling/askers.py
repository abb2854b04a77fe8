"""Clients that polled and did not take up their request. Workers do not identify themselves, and people try it with curl.

A worker reports at once on a request that it gets. So a client whose last offer was not taken up is given nothing for a while:
then a curl in a loop delays one request once, and the workers have the next polls for themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from connectors.lease_store import Hold

#: Most clients that are remembered; the oldest are forgotten first.
MOST_ASKERS = 10_000


class Askers:
    """Used by one event loop. `pause_s`: for how long, counted from the offer. `clock`: monotonic seconds."""

    def __init__(self, pause_s: float, clock: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._offered: OrderedDict[Hashable, tuple[Hold, float]] = OrderedDict()

    def offered(self, asker: Hashable, hold: Hold) -> None:
        self._offered[asker] = hold, self._clock() + self._pause_s
        self._offered.move_to_end(asker)
        while len(self._offered) > MOST_ASKERS:
            self._offered.popitem(last=False)

    def last_offer(self, asker: Hashable) -> Hold | None:
        """Return what this client was offered within the pause; None if nothing was."""
        hold, until = self._offered.get(asker, (None, 0.0))
        if hold is not None and self._clock() >= until:
            del self._offered[asker]
            return None
        return hold

    def forget(self, asker: Hashable) -> None:
        """The client took its offer up."""
        self._offered.pop(asker, None)
