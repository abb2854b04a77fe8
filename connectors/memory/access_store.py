"""Tokens and quotas in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from connectors.access_store import Quota, Token, name_taken
from connectors.memory.database import MemoryStore


class MemoryAccessStore(MemoryStore):
    """Implements `connectors.access_store.AccessStore`."""

    def create_token(
        self, sha256: bytes, name: str, tenant: str, scopes: tuple[str, ...], expires_at: datetime | None
    ) -> Token:
        with self._db.writing() as now:
            if any(token.name == name and token.revoked_at is None for token in self._db.tokens.values()):
                raise name_taken(name)
            self._db.tokens[sha256] = Token(name, tenant, scopes, now, expires_at, None)
            return self._db.tokens[sha256]

    def token(self, sha256: bytes) -> Token | None:
        with self._db.reading() as now:
            token = self._db.tokens.get(sha256)
            if token is None or token.revoked_at is not None:
                return None
            return None if token.expires_at is not None and token.expires_at <= now else token

    def tokens(self) -> list[Token]:
        with self._db.reading():
            return sorted(self._db.tokens.values(), key=lambda token: (token.name, token.created_at))

    def revoke_token(self, name: str) -> Token | None:
        with self._db.writing() as now:
            for sha256, token in self._db.tokens.items():
                if token.name == name and token.revoked_at is None:
                    self._db.tokens[sha256] = replace(token, revoked_at=now)
                    return self._db.tokens[sha256]
            return None

    def set_quota(self, quota: Quota) -> None:
        with self._db.writing():
            self._db.quotas[quota.tenant] = quota

    def quotas(self) -> list[Quota]:
        with self._db.reading():
            return [quota for _, quota in sorted(self._db.quotas.items())]
