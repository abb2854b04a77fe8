"""Prints the report."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.demo.report import Report, VolumeReport


def show(console: Console, report: Report) -> None:
    """Print volumes, figures, callbacks, the picture and violated guarantees."""
    _volumes(console, report.volumes)
    _figures(console, report)
    for body in report.callbacks:
        console.print("\n[bold]A callback, as the backend received it[/bold]")
        console.print_json(json.dumps(_shortened(body)))
    if report.picture:
        console.print("\nPicture of the largest lesion, found (red) and true (green):")
        console.print(f"  {report.picture}", soft_wrap=True, highlight=False)
    for violation in report.violations:
        console.print(f"[red]A guarantee was violated:[/red] {violation}")


def _volumes(console: Console, volumes: list[VolumeReport]) -> None:
    console.print("\n[bold]MR volumes[/bold]")
    table = Table("job", "state", "lesions (ml)", "found (ml)", "Dice", "seconds")
    for volume in volumes:
        table.add_row(
            volume.job_id,
            volume.state if volume.error is None else f"{volume.state} {volume.error}",
            f"{volume.lesion_ml:.2f}",
            "-" if volume.found_ml is None else f"{volume.found_ml:.2f}",
            "-" if volume.dice is None else f"{volume.dice:.3f}",
            f"{volume.seconds:.1f}",
        )
    console.print(table)
    for volume in volumes:
        console.print(f"  {volume.job_id[-6:]}  result {volume.result_at}", soft_wrap=True, highlight=False)
        console.print(f"          mask {volume.mask_uri}", soft_wrap=True, highlight=False)


def _figures(console: Console, report: Report) -> None:
    table = Table("figure", "value")
    for state, count in report.states.items():
        table.add_row(f"jobs {state}", str(count))
    table.add_row("callbacks delivered", str(report.deliveries))
    table.add_row("callback requests received", str(report.requests))
    for name, value in report.light_ms.items():
        table.add_row(f"light job, submit to callback, {name}", f"{value:,.0f} ms")
    dice = [volume.dice for volume in report.volumes if volume.dice is not None]
    if dice:
        table.add_row("mean Dice against the known lesions", f"{sum(dice) / len(dice):.3f}")
    console.print(table)


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """Shorten long lists in the body."""

    def cut(value: Any) -> Any:
        if isinstance(value, list) and len(value) > 6:
            return [*value[:3], f"… {len(value) - 3} more"]
        return {key: cut(inner) for key, inner in value.items()} if isinstance(value, dict) else value

    shortened: dict[str, Any] = cut(body)
    return shortened
