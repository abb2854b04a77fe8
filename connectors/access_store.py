"""Port for the tokens of the HTTP gateway and the quotas of its tenants."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from schemas.errors import Conflict

#: Scopes of tokens. work: lab machines. operate: deliveries and their repetition.
SCOPES = ("submit", "read", "cancel", "upload", "work", "operate")
#: As the tenant of a token with the scope `work` or `operate`: every tenant.
EVERY_TENANT = "*"
#: Scopes that a token of every tenant may have.
SCOPES_OF_EVERY_TENANT = ("work", "operate")
#: Begins every token, so that scanners of source code find one that was committed by mistake.
BEGINNING = "slt_"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret. `tenant`: `*` for any tenant. A token is of no use once it is revoked or expired."""

    name: str
    tenant: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one tenant; None: no limit. `jobs_per_s`: jobs accepted per second on average, `burst`: at once after a quiet
    time. `in_flight`: accepted jobs that have not ended."""

    tenant: str
    jobs_per_s: float | None = None
    burst: int | None = None
    in_flight: int | None = None


class AccessStore(Protocol):
    """Used by one thread; a context manager that disconnects on exit.

    Every call raises Unreachable while the store does not answer, and UsageError if `sluice migrate` was never run.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def create_token(
        self, sha256: bytes, name: str, tenant: str, scopes: tuple[str, ...], expires_at: datetime | None
    ) -> Token:
        """Store a token by its hash. Raises Conflict if a token that is not revoked has this name."""
        ...

    def token(self, sha256: bytes) -> Token | None:
        """Return a token by its hash; None if it is unknown, revoked or expired on the store's clock."""
        ...

    def tokens(self) -> list[Token]:
        """Return every token, by name, with the revoked ones."""
        ...

    def revoke_token(self, name: str) -> Token | None:
        """Revoke the token of this name; None if no valid token has it."""
        ...

    def set_quota(self, quota: Quota) -> None:
        """Store a tenant's quota, in place of an earlier one."""
        ...

    def quotas(self) -> list[Quota]:
        """Return the quotas of all tenants that have one, by tenant."""
        ...

    def close(self) -> None: ...


def name_taken(name: str) -> Conflict:
    """Return the error of a token's name that is in use."""
    return Conflict(f"There is a token {name!r} already.", next_step="Choose another name, or revoke it first.")


def new_token() -> str:
    """Return a new secret token of 256 random bits."""
    return BEGINNING + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Return the hash under which a token is stored. A plain hash will do: a token is random, not a password to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
