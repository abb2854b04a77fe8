"""`sluice tokens`: tokens of the HTTP gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import Json, duration
from streams.cli.output import err, out, out_json, table

app = sub_app(
    "tokens",
    """Create, list and revoke tokens of the HTTP gateway.

A token stands for one tenant and what it may do. It is printed once; only its
hash is stored.

For example:

    sluice tokens create backend --tenant clinic --scope submit --scope read
    sluice tokens list
    sluice tokens revoke backend
""",
)

Name = Annotated[str, Parameter(help="Name of the token, for lists and logs.")]
Tenant = Annotated[
    str, Parameter(help="Tenant whose jobs the token sees. With the scopes work and operate alone: * for every tenant.")
]
Scope = Literal["submit", "read", "cancel", "upload", "work", "operate"]
Scopes = Annotated[
    tuple[Scope, ...],
    Parameter(
        name="--scope",
        help="Permission; repeatable. work: lab machines; operate: deliveries. Default: submit, read, cancel and upload.",
    ),
]
Expires = Annotated[
    timedelta | None, duration("Time from now after which the token is of no use (30s, 5m, 2h, 90d). Default: never.")
]

DEFAULT_SCOPES: tuple[Scope, ...] = ("submit", "read", "cancel", "upload")
LONGEST_NAME = 128


@app.command
def create(
    name: Name, /, *, tenant: Tenant = "default", scope: Scopes = (), expires: Expires = None, json: Json = False
) -> int:
    """Create a token and print it. It can't be printed again.

    For example:

        sluice tokens create backend --tenant clinic
        sluice tokens create lab-1 --tenant "*" --scope work --expires 90d
    """
    from connectors.access_store import new_token, token_hash
    from streams import wiring
    from streams.settings import load_settings

    scopes = scope or DEFAULT_SCOPES
    _check(name, tenant, scopes)
    token = new_token()
    until = None if expires is None else datetime.now(UTC) + expires
    with wiring.access_store(load_settings()) as store:
        made = store.create_token(token_hash(token), name, tenant, scopes, until)
    if json:
        out_json({"token": token, "name": name, "tenant": tenant, "scopes": made.scopes, "expires_at": made.expires_at})
        return 0
    out(token)
    err("Keep it: it can't be printed again.")
    return 0


@app.command(name="list")
def list_(*, json: Json = False) -> int:
    """List the tokens, without their secrets.

    For example:

        sluice tokens list
        sluice tokens list --json
    """
    from streams import wiring
    from streams.settings import load_settings

    with wiring.access_store(load_settings()) as store:
        tokens = store.tokens()
    if json:
        out_json(tokens)
        return 0
    lines = [(t.name, t.tenant, " ".join(t.scopes), t.created_at, t.expires_at, t.revoked_at) for t in tokens]
    out(table(lines, ("NAME", "TENANT", "SCOPES", "CREATED (UTC)", "EXPIRES", "REVOKED")) if lines else "No tokens.")
    return 0


@app.command
def revoke(name: Name, /, *, json: Json = False) -> int:
    """Revoke a token; gateways refuse it within seconds.

    Exit status 5 if there is no such token.

    For example:

        sluice tokens revoke backend
    """
    from schemas.errors import NotFound
    from streams import wiring
    from streams.settings import load_settings

    with wiring.access_store(load_settings()) as store:
        token = store.revoke_token(name)
    if token is None:
        raise NotFound(f"There is no valid token {name!r}.", next_step="`sluice tokens list` lists them.")
    out_json(token) if json else out(f"{name} is revoked; gateways refuse it within seconds.")
    return 0


def _check(name: str, tenant: str, scopes: tuple[Scope, ...]) -> None:
    from connectors.access_store import EVERY_TENANT, SCOPES_OF_EVERY_TENANT
    from schemas.errors import UsageError

    for what, text in (("name", name), ("tenant", tenant)):
        if not text.strip() or len(text) > LONGEST_NAME or not text.isprintable():
            raise UsageError(f"The {what} must be a text of 1 to {LONGEST_NAME} printable characters.")
    wide = set(scopes) - set(SCOPES_OF_EVERY_TENANT)
    if tenant == EVERY_TENANT and wide:
        raise UsageError(
            f"A token of every tenant can't have the scope {', '.join(sorted(wide))}.",
            next_step="Name one tenant, or give it the scopes work and operate only.",
        )
