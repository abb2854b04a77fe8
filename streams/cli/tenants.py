"""`sluice tenants`: quotas of tenants at the HTTP gateway."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from streams.cli.app import sub_app
from streams.cli.options import Json
from streams.cli.output import out, out_json, table

app = sub_app(
    "tenants",
    """Set and list the quotas of tenants at the HTTP gateway.

A tenant without a quota of its own has that of the settings
(SLUICE_GATEWAY_JOBS_PER_S, SLUICE_GATEWAY_BURST, SLUICE_GATEWAY_IN_FLIGHT).

For example:

    sluice tenants set clinic --jobs-per-s 50 --burst 200 --in-flight 10000
    sluice tenants list
""",
)

Tenant = Annotated[str, Parameter(help="Name of the tenant, as its tokens have it.")]
PerSecond = Annotated[
    float | None,
    Parameter(
        validator=validators.Number(gt=0),
        help="Jobs that each gateway accepts in a second, on average over many seconds. Default: no limit.",
    ),
]
Burst = Annotated[
    int | None,
    Parameter(
        validator=validators.Number(gte=1, lte=2**31 - 1),
        help="Jobs that may be submitted at once after a quiet time. Default: as many as in one second.",
    ),
]
InFlight = Annotated[
    int | None,
    Parameter(
        validator=validators.Number(gte=1, lte=2**31 - 1),
        help="Accepted jobs that have not ended. Default: no limit.",
    ),
]


@app.command(name="set")
def set_(
    tenant: Tenant,
    /,
    *,
    jobs_per_s: PerSecond = None,
    burst: Burst = None,
    in_flight: InFlight = None,
    json: Json = False,
) -> int:
    """Set a tenant's quota, in place of an earlier one.

    Gateways follow within seconds.

    For example:

        sluice tenants set clinic --jobs-per-s 50 --burst 200 --in-flight 10000
        sluice tenants set clinic    # no limits
    """
    from connectors.access_store import Quota
    from schemas.errors import UsageError
    from streams import wiring
    from streams.settings import load_settings

    if not tenant.strip() or len(tenant) > 128:
        raise UsageError("The tenant must be a text of 1 to 128 characters.")
    quota = Quota(tenant, jobs_per_s, burst, in_flight)
    with wiring.access_store(load_settings()) as store:
        store.set_quota(quota)
    out_json(quota) if json else out(f"The quota of {tenant} is set; gateways follow within seconds.")
    return 0


@app.command(name="list")
def list_(*, json: Json = False) -> int:
    """List the tenants that have a quota of their own.

    For example:

        sluice tenants list
        sluice tenants list --json
    """
    from streams import wiring
    from streams.settings import load_settings

    with wiring.access_store(load_settings()) as store:
        quotas = store.quotas()
    if json:
        out_json(quotas)
        return 0
    lines = [(q.tenant, q.jobs_per_s, q.burst, q.in_flight) for q in quotas]
    out(table(lines, ("TENANT", "JOBS/S", "BURST", "IN FLIGHT")) if lines else "No tenant has a quota of its own.")
    return 0
