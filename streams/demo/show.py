"""Prints a report for people."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from streams.demo.report import Report, VolumeEnd


def show(console: Console, report: Report) -> None:
    """Everything the demonstration has to tell, in the order a newcomer would ask."""
    _volumes(console, report.volumes)
    _figures(console, report)
    for body in report.callbacks:
        console.print("\n[bold]A callback, as the backend received it[/bold]")
        console.print_json(json.dumps(_shortened(body)))
    if report.picture:
        console.print("\nThe largest lesion, found (red) and true (green), is drawn in:")
        console.print(f"  {report.picture}", soft_wrap=True, highlight=False)
    for sentence in report.broken:
        console.print(f"[red]The promise was broken:[/red] {sentence}")


def _volumes(console: Console, volumes: list[VolumeEnd]) -> None:
    console.print("\n[bold]MR volumes[/bold]")
    table = Table("job", "state", "lesions, ml", "found, ml", "Dice", "seconds")
    for end in volumes:
        table.add_row(
            end.job_id,
            end.state if end.error is None else f"{end.state} {end.error}",
            f"{end.lesion_ml:.2f}",
            "-" if end.found_ml is None else f"{end.found_ml:.2f}",
            "-" if end.dice is None else f"{end.dice:.3f}",
            f"{end.seconds:.1f}",
        )
    console.print(table)
    for end in volumes:
        console.print(f"  {end.job_id[-6:]}  result {end.lies_at}", soft_wrap=True, highlight=False)
        console.print(f"          mask {end.mask_uri}", soft_wrap=True, highlight=False)


def _figures(console: Console, report: Report) -> None:
    table = Table("figure", "value")
    for state, count in report.states.items():
        table.add_row(f"jobs {state}", str(count))
    table.add_row("deliveries made", str(report.deliveries))
    table.add_row("callback requests received", str(report.requests))
    for name, value in report.light_ms.items():
        table.add_row(f"light job, submit to callback, {name}", f"{value:,.0f} ms")
    dice = [end.dice for end in report.volumes if end.dice is not None]
    if dice:
        table.add_row("mean Dice against the known lesions", f"{sum(dice) / len(dice):.3f}")
    console.print(table)


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """The body with long lists cut, for reading."""

    def cut(value: Any) -> Any:
        if isinstance(value, list) and len(value) > 6:
            return [*value[:3], f"… {len(value) - 3} more"]
        return {key: cut(inner) for key, inner in value.items()} if isinstance(value, dict) else value

    shortened: dict[str, Any] = cut(body)
    return shortened
