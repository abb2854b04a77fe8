"""`sluice lag`: how far each consumer group is behind, in records and in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from schemas.errors import ExitCode
from streams.cli.options import Json
from streams.cli.output import age, err, out, out_json, table

if TYPE_CHECKING:
    from streams.admin.lag import Lag

Group = Annotated[str | None, Parameter(help="Only this consumer group: workers.echo, sink, router. Default: all.")]
Topic = Annotated[str | None, Parameter(help="Only this topic. Default: all.")]
By = Annotated[Literal["group", "topic", "partition"], Parameter(help="What a line is for.")]


def lag(*, by: By = "topic", group: Group = None, topic: Topic = None, json: Json = False) -> int:
    """Show how far each consumer group is behind, in records and in seconds.

    RECORDS counts what is not finished. A job that a worker finished before an
    earlier one of its partition is not counted, although its offset is not
    committed yet. "no commit" means that the group has never begun, which is not
    0. OLDEST is the age of the oldest unfinished record. The sink's offsets are
    read from Postgres, where they are decided.

    For example:

        sluice lag
        sluice lag --group workers.echo --by partition
        sluice lag --json | jq '.[] | select(.seconds > 60) | .group'
    """
    from streams import wiring
    from streams.admin.lag import lags
    from streams.settings import load_settings

    settings = load_settings()
    found = lags(settings, wiring.contracts(settings))
    names = {settings.topic_prefix + name for name in (group, topic) if name} | {group, topic}
    wanted = [
        each for each in found if (group is None or each.group in names) and (topic is None or each.topic in names)
    ]
    if not wanted:
        from schemas.errors import NotFound

        known = sorted({each.group for each in found})
        raise NotFound("No consumer group matches.", next_step=f"There are {', '.join(known)}.")
    if by == "group":
        wanted = of_groups(wanted)
    if json:
        out_json(wanted if by == "partition" else [replace(each, partitions=()) for each in wanted])
    else:
        out("\n".join(_partition_lines(wanted)) if by == "partition" else table(map(_row, wanted), _HEAD))
        _notes(wanted)
    return ExitCode.OK


_HEAD = ("GROUP", "TOPIC", "RECORDS", "OLDEST")


def of_groups(lags: Iterable[Lag]) -> list[Lag]:
    """Return one lag for each group, over all of its topics."""
    groups: dict[str, list[Lag]] = {}
    for each in lags:
        groups.setdefault(each.group, []).append(each)
    return [
        replace(
            of[0],
            topic=", ".join(each.topic for each in of),
            records=sum(known) if (known := [each.records for each in of if each.records is not None]) else None,
            seconds=max((each.seconds for each in of if each.seconds is not None), default=None),
            no_commit=sum(each.no_commit for each in of),
            partitions=(),
        )
        for of in groups.values()
    ]


def records_of(lag: Lag) -> str:
    """Return the records as text: a group that has never begun is not at 0."""
    if lag.records is None:
        return "no commit"
    return f"{lag.records:,}" + (f" (+ no commit on {lag.no_commit} partitions)" if lag.no_commit else "")


def _row(lag: Lag) -> Sequence[str]:
    return lag.group, lag.topic, records_of(lag), age(lag.seconds)


def _partition_lines(lags: Sequence[Lag]) -> list[str]:
    now = datetime.now(UTC)
    rows = [
        (
            lag.group,
            f"{lag.topic}[{each.partition}]",
            "no commit" if each.committed is None else each.committed,
            each.first,
            each.end,
            "-" if each.records is None else f"{each.records:,}",
            age(max(0.0, (now - each.oldest_at).total_seconds()) if each.oldest_at and each.records != 0 else None),
        )
        for lag in lags
        for each in lag.partitions
    ]
    return [table(rows, ("GROUP", "PARTITION", "COMMITTED", "UNFINISHED FROM", "END", "RECORDS", "OLDEST"))]


def _notes(lags: Sequence[Lag]) -> None:
    if any(lag.source == "mirror" for lag in lags):
        err("Postgres does not answer: the sink's lag is that of its mirror in Kafka, which may be a second old.")
    if any(lag.records is None for lag in lags):
        err("no commit: no worker of the group has ever begun there; `sluice topics plan` shows whether it can.")
