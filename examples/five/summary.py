"""The report of the demonstration: for each request its states, row and pictures; then the callbacks. As text and as a page."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

import processes

TUMOUR, SEGMENTATION = "1 brain tumour inference", "2 MR segmentation on lab machines"
INTERVIEW, RESEARCH, VIDEO = "3 AI interview", "4 research runs", "5 video analysis"
_LONGEST_ROW = 1_500


@dataclass(slots=True)
class Shown:
    """A request of a system. `states`: as its front end saw them. `result`: the headline. `row`: as its backend has it. `ok`:
    True if it ended as it should. `pictures`: names and PNGs."""

    system: str
    request: str
    what: str
    states: list[str]
    seconds: float | None
    result: str
    ok: bool
    row: Any = None
    pictures: dict[str, bytes] = field(default_factory=dict)


def show(shown: Sequence[Shown], callbacks: Sequence[dict[str, Any]], page: Path, notes: Sequence[str]) -> None:
    """Print each system's requests, the callbacks, and where the page and the pictures are."""
    console = Console(highlight=False, soft_wrap=True)
    for system in dict.fromkeys(one.system for one in shown):
        console.print(f"\n[bold]{system}[/bold]")
        for one in (each for each in shown if each.system == system):
            console.print(f"  {'✓' if one.ok else '✗'} {escape(one.what)} ({escape(one.request)}), {_seconds(one)}")
            for line in (_states(one), one.result, *map(str, map(page.parent.joinpath, one.pictures))):
                console.print(f"      {escape(line)}")
    console.print("\n[bold]callbacks[/bold]")
    for count, line in _counted(callbacks):
        console.print(f"  {count:3} {escape(line)}")
    for note in notes:
        console.print(f"note: {escape(note)}")
    console.print(f"\npage: {page.resolve().as_uri()}")


def write(folder: Path, shown: Sequence[Shown], callbacks: Sequence[dict[str, Any]], notes: Sequence[str]) -> Path:
    """Write the pictures and the page into an empty folder; return the page."""
    processes.emptied(folder)
    parts = []
    for system in dict.fromkeys(one.system for one in shown):
        parts.append(f"<h2>{html.escape(system)}</h2>")
        parts += [_section(folder, one) for one in shown if one.system == system]
    rows = "".join(f"<tr><td>{count}</td><td>{html.escape(line)}</td></tr>" for count, line in _counted(callbacks))
    parts += [
        f"<h2>Callbacks</h2><table><tr><th>number</th><th>to</th></tr>{rows}</table>",
        *(f"<p>{html.escape(note)}</p>" for note in notes),
    ]
    page = folder / "index.html"
    page.write_text(_PAGE.format(body="".join(parts)), encoding="utf-8")
    return page


def _section(folder: Path, one: Shown) -> str:
    for name, content in one.pictures.items():
        (folder / name).write_bytes(content)
    figures = "".join(
        f'<figure><img src="{name}" alt="{name}"><figcaption>{name}</figcaption></figure>'
        for name in map(html.escape, one.pictures)
    )
    row = html.escape(json.dumps(one.row, ensure_ascii=False, indent=1, default=str)[:_LONGEST_ROW])
    return (
        f"<section><h3>{html.escape(one.what)} <small>{html.escape(one.request)}, {_seconds(one)}</small></h3>"
        f"<p>{html.escape(_states(one))}</p><p>{html.escape(one.result)}</p>{figures}"
        f"<details><summary>row</summary><pre>{row}</pre></details></section>"
    )


def _seconds(one: Shown) -> str:
    return "-" if one.seconds is None else f"{one.seconds:.1f} s"


def _states(one: Shown) -> str:
    """Return the states in their order; those that differ in a number only are joined: PROCESSING 0, 25, 94 %."""
    joined: list[str] = []
    for state in one.states:
        head, _, percent = state.partition(" ")
        if percent.endswith("%") and joined and joined[-1].startswith(f"{head} "):
            joined[-1] = f"{joined[-1].removesuffix(' %')}, {percent}"
        else:
            joined.append(state)
    return " → ".join(joined)


def _counted(callbacks: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return how many callbacks of each kind went where, and what became of them."""
    lines = (
        f"{urlsplit(each['destination']).netloc}{urlsplit(each['destination']).path}: {each['kind']} {each['state']},"
        f" HTTP status {each['last_status']}"
        for each in callbacks
    )
    return [(count, line) for line, count in Counter(lines).items()]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Five systems on one sluice</title>
<style>:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 1rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; }} figure {{ margin: 1rem 0; }} small {{ font-weight: normal; }}
td, th {{ text-align: left; padding: 0 1rem 0 0; }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}</style></head>
<body><h1>Five systems on one sluice</h1>{body}
<p>The models are small and honest, no medical device, and no judge of people: their cards say what was measured.</p></body>
</html>
"""
