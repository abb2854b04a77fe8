"""Checks tokens against the store. An answer is kept for some seconds, so a revoked token works that much longer."""

from __future__ import annotations

import time

from connectors.access_store import BEGINNING, EVERY_TENANT, SCOPES_OF_EVERY_TENANT, AccessStore, Token, token_hash
from gateway.principal import Principal
from gateway.store_pool import StorePool

#: Seconds that the store's answer is used.
KEPT_S = 5.0
#: Most answers kept: wrong tokens are kept too, so that guessing does not load the database.
MOST_KEPT = 10_000
#: A longer one is none of ours.
LONGEST_TOKEN = 200


class TokenAuthenticator:
    """Looks tokens up by their hash, so the time of a look-up says nothing about a stored token. Used by one event loop."""

    def __init__(self, access: StorePool[AccessStore]) -> None:
        self._access = access
        self._kept: dict[bytes, tuple[Principal | None, float]] = {}

    async def principal(self, token: str) -> Principal | None:
        if not token.startswith(BEGINNING) or len(token) > LONGEST_TOKEN:
            return None
        hashed, now = token_hash(token), time.monotonic()
        kept = self._kept.get(hashed)
        if kept is not None and kept[1] > now:
            return kept[0]
        found = await self._access.call(lambda store: store.token(hashed))
        principal = None if found is None else _principal(found)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[hashed] = principal, now + KEPT_S
        return principal


def _principal(token: Token) -> Principal:
    scopes = frozenset(token.scopes)
    if token.tenant == EVERY_TENANT:
        scopes &= frozenset(SCOPES_OF_EVERY_TENANT)
    return Principal(token.tenant, scopes, token.name)
