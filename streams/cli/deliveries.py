"""`sluice deliveries`: list callbacks, show one, send ended ones again, and the health of their destinations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from streams.cli.app import sub_app
from streams.cli.options import COUNT, Json, moment
from streams.cli.output import err, out, out_json, table

if TYPE_CHECKING:
    from connectors.delivery_admin import DeliveryAdmin, DeliveryFilter, DeliveryRow, DestinationView
    from connectors.views import TryView

app = sub_app(
    "deliveries",
    """List callbacks, send them again, and see how their destinations do.

A delivery is a callback to a backend with all its tries. Progress callbacks are
listed too; they are never sent again.

For example:

    sluice deliveries list --state parked
    sluice deliveries show 019a3c5e-7c1b-8d2e-9d55-4c1f6d2f3a10
    sluice deliveries resend --destination backend:8000 --since 2h --dry-run
    sluice deliveries destinations
""",
)

#: Deliveries that are made pending with one statement.
BATCH = 1000

DeliveryId = Annotated[str, Parameter(help="Id of the delivery, as `sluice deliveries list` prints it.")]
Job = Annotated[str | None, Parameter(help="Only deliveries of this job. Default: all.")]
Destination = Annotated[
    str | None,
    Parameter(help="Only deliveries to this host:port; a host alone means its ports 80 and 443. Default: all."),
]
StateName = Literal["pending", "delivered", "parked", "gone", "refused", "skipped", "superseded"]
State = Annotated[
    StateName | None, Parameter(help="Only deliveries in this state. Default: all; `resend`: those that failed.")
]
Since = Annotated[datetime | None, moment("Only deliveries created since then.")]
Until = Annotated[datetime | None, moment("Only deliveries created before then.")]
Limit = Annotated[int, Parameter(name=["--limit", "-n"], validator=COUNT, help="Number of deliveries to list.")]
Tenant = Annotated[str | None, Parameter(help="Only deliveries of this tenant. Default: all.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", help="Print only how many would be sent again.")]


@app.command(name="list")
def list_(
    *,
    job: Job = None,
    destination: Destination = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    limit: Limit = 20,
    json: Json = False,
) -> int:
    """List deliveries, newest first.

    For example:

        sluice deliveries list --state parked --since 24h
        sluice deliveries list --job 019a3c5e-7c1b-7d2e-9d55-4c1f6d2f3a10 --json
    """
    states = None if state is None else [state]
    with _store() as store:
        rows = store.find(_wanted(tenant, job, destination, states, since, until), limit)
    if json:
        out_json(rows)
        return 0
    lines = [
        (r.delivery_id, r.job_id, r.kind, r.state, r.tries, r.last_status, r.destination, r.created_at) for r in rows
    ]
    out(table(lines, ("DELIVERY", "JOB", "KIND", "STATE", "TRIES", "STATUS", "URL", "CREATED (UTC)")))
    if len(rows) == limit:
        err(f"These are the newest {limit}; --limit N lists more.")
    return 0


@app.command
def show(delivery_id: DeliveryId, /, *, json: Json = False) -> int:
    """Show one delivery with all its tries. Exit status 5 if there is none.

    For example:

        sluice deliveries show 019a3c5e-7c1b-8d2e-9d55-4c1f6d2f3a10
    """
    with _store() as store:
        row, tries = _found(store, delivery_id)
    if json:
        out_json({"delivery": row, "tries": tries})
        return 0
    out(f"{row.kind} of job {row.job_id}, run {row.run} (tenant {row.tenant}): {row.state}")
    out(f"to {row.destination}" + (f", profile {row.profile}" if row.profile else ""))
    if row.due_at is not None:
        out(f"next try at {row.due_at:%Y-%m-%d %H:%M:%S} UTC")
    _print_tries(tries)
    return 0


@app.command(usage="Usage: sluice deliveries resend [OPTIONS] [DELIVERY_IDS...]")
def resend(
    *delivery_ids: DeliveryId,
    job: Job = None,
    destination: Destination = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Send deliveries again that have ended, under the same ids.

    Give ids, or say which by the other options; without --state those that failed:
    parked, gone and refused. Each gets a new series of tries. A backend that took
    one already recognizes it by its `webhook-id`. Exit status 5 for an unknown id,
    7 if a delivery is still pending or is one of progress.

    For example:

        sluice deliveries resend 019a3c5e-7c1b-8d2e-9d55-4c1f6d2f3a10
        sluice deliveries resend --destination backend:8000 --since 2h --dry-run
        sluice deliveries resend --state delivered --since 3h --until 2h
    """
    from connectors.delivery_admin import FAILED

    with _store() as store:
        if delivery_ids:
            _check_alone(job, destination, state, since, until, tenant)
            number = _resend_named(store, delivery_ids, dry_run)
        else:
            _check_any(job, destination, state, since, until, tenant)
            wanted = _wanted(tenant, job, destination, FAILED if state is None else [state], since, until)
            number = _resend_all(store, wanted, dry_run)
    if json:
        out_json({"deliveries": number, "dry_run": dry_run})
    else:
        out(f"{number} deliveries {'would be' if dry_run else 'are'} sent again")
    return 0


@app.command
def destinations(*, tenant: Tenant = None, json: Json = False) -> int:
    """Show how destinations do: circuit, pending deliveries, tries of 24 hours.

    For example:

        sluice deliveries destinations
        sluice deliveries destinations --json | jq '.[] | select(.failed > 0)'
    """
    with _store() as store:
        found = store.destinations(tenant)
    if json:
        out_json([as_json(one) for one in found])
        return 0
    lines = [
        (one.destination, one.circuit, one.pending, one.delivered, one.failed, _percent(one), one.last_error)
        for one in found
    ]
    out(table(lines, ("DESTINATION", "CIRCUIT", "PENDING", "DELIVERED", "FAILED", "SUCCESS", "LAST ERROR")))
    return 0


def as_json(one: DestinationView) -> dict[str, object]:
    from streams.cli.output import jsonable

    return {**jsonable(one), "success_rate": one.success_rate}


def _store() -> DeliveryAdmin:
    from streams import wiring
    from streams.settings import load_settings

    return wiring.delivery_admin(load_settings())


def _wanted(
    tenant: str | None,
    job: str | None,
    destination: str | None,
    states: Sequence[str] | None,
    since: datetime | None,
    until: datetime | None,
) -> DeliveryFilter:
    from connectors.delivery_admin import DeliveryFilter

    return DeliveryFilter(tenant, job, destination, states, since, until)


def _found(store: DeliveryAdmin, delivery_id: str) -> tuple[DeliveryRow, list[TryView]]:
    from schemas.errors import NotFound

    found = store.delivery(delivery_id)
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id}.", next_step="`sluice deliveries list` lists them.")
    return found


def _resend_named(store: DeliveryAdmin, ids: tuple[str, ...], dry_run: bool) -> int:
    """Return how many of these deliveries are sent again: all. Raises NotFound, Conflict; then none is."""
    from connectors.delivery_admin import DeliveryFilter, check_resendable

    for id_ in ids:
        check_resendable(_found(store, id_)[0])
    wanted = DeliveryFilter(ids=list(dict.fromkeys(ids)))
    return store.count(wanted)[0] if dry_run else len(store.resend(wanted, None, len(ids)))


def _resend_all(store: DeliveryAdmin, wanted: DeliveryFilter, dry_run: bool) -> int:
    number, now = store.count(wanted)
    if dry_run:
        return number
    sent = 0
    while ids := store.resend(wanted, now, BATCH):
        sent += len(ids)
    return sent


def _check_alone(*others: object) -> None:
    from schemas.errors import UsageError

    if any(other is not None for other in others):
        raise UsageError("Give ids, or say which by options, not both.", next_step="Leave one of them out.")


def _check_any(*options: object) -> None:
    from schemas.errors import UsageError

    if all(option is None for option in options):
        raise UsageError(
            "Which deliveries?",
            next_step="Give ids, or --state, --destination, --since, --until, --job or --tenant; --dry-run counts first.",
        )


def _print_tries(tries: list[TryView]) -> None:
    lines = [(each.n, each.at, each.status, f"{each.ms:.0f}", each.error) for each in tries]
    out(table(lines, ("TRY", "AT (UTC)", "STATUS", "MS", "ERROR")) if lines else "no try yet")


def _percent(one: DestinationView) -> str | None:
    return None if one.success_rate is None else f"{one.success_rate:.1%}"
