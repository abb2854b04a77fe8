"""Tokens and quotas on Postgres."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.access_store import Quota, Token, name_taken
from connectors.postgres.base import PostgresStore


class PostgresAccessStore(PostgresStore):
    """Implements `connectors.access_store.AccessStore`."""

    application = "sluice access"

    def create_token(
        self, sha256: bytes, name: str, tenant: str, scopes: tuple[str, ...], expires_at: datetime | None
    ) -> Token:
        rows = self._rows(
            "create_token", sha256=sha256, token=name, tenant=tenant, scopes=list(scopes), expires_at=expires_at
        )
        if not rows:
            raise name_taken(name)
        return _token(rows[0])

    def token(self, sha256: bytes) -> Token | None:
        valid = "sha256 = %(sha256)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
        rows = self._rows("tokens", {"wanted": valid}, sha256=sha256)
        return _token(rows[0]) if rows else None

    def tokens(self) -> list[Token]:
        return [_token(row) for row in self._rows("tokens", {"wanted": "true"})]

    def revoke_token(self, name: str) -> Token | None:
        rows = self._rows("revoke_token", token=name)
        return _token(rows[0]) if rows else None

    def set_quota(self, quota: Quota) -> None:
        self._rows(
            "set_quota",
            tenant=quota.tenant,
            jobs_per_s=quota.jobs_per_s,
            burst=quota.burst,
            in_flight=quota.in_flight,
        )

    def quotas(self) -> list[Quota]:
        return [Quota(**row) for row in self._rows("quotas")]


def _token(row: dict[str, Any]) -> Token:
    return Token(**{**row, "scopes": tuple(row["scopes"])})
