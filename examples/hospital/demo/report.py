"""Results of the demonstration: a row for each request, pictures in a folder, and a page that shows them."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import inputs
import processes
from hospital_client import Hospital

#: Opacity of the mask, and its colour where the demonstration draws it.
OPACITY, COLOUR = 0.55, (255, 140, 0)
VIEWS = ("axial", "coronal", "sagittal")
TALLEST = 420

_nib: Any = nib


@dataclass(slots=True)
class Row:
    """`seconds`: from the request to the callback, or to the completion that the old worker reported. `score`: against what is
    known of the data. `pictures`: names and PNGs. `ok`: True if it completed and reported. `url`: its page. `states`: as they
    were seen."""

    request: str
    what: str
    state: str
    seconds: float | None
    score: str
    url: str
    ok: bool
    pictures: dict[str, bytes] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)


def tumour_row(model: str, row: dict[str, Any], hospital: Hospital, made: inputs.Inputs) -> Row:
    """Return the row of an inference as the front end sees it."""
    result = row["result"] or {}
    page = f"{hospital.url}/inferences/{row['id']}/"
    error = row["error"] or {}
    score = f"{error.get('code')}: {error.get('message')}" if error else _score(model, result)
    found = Row(
        row["id"], model, row["status"], _seconds(row), score, page, row["callback_at"] is not None and not error
    )
    found.states = hospital.seen[row["id"]]
    for each in row["files"]:
        content = hospital.content(each["url"])
        if each["name"].endswith(".png"):
            found.pictures[f"{row['id']}-{each['name']}"] = content
        elif model == "M1" and each["name"].startswith("mask"):
            mask = np.asarray(_nib.Nifti1Image.from_bytes(_unzipped(content)).dataobj) > 0
            found.score = f"Dice {inputs.dice(mask, made.truth):.3f}; {found.score} ({_put_in(made)})"
    if model == "M1" and not error:
        found.pictures[f"{row['id']}-slices.png"] = _viewer_picture(hospital, f"/inferences/{row['id']}/slices/")
    if model == "MG" and made.genes_class:
        found.score += f" (known: {made.genes_class})"
    return found


def lab_row(
    series_id: str, found: dict[str, Any], seconds: float, segmentation: Any, hospital: Hospital, made: inputs.Inputs
) -> Row:
    """Return the row of a segmentation. `segmentation`: the DICOM SEG that the worker stored."""
    row = Row(
        str(found.get("request_id", ""))[:13],
        "lab series",
        str(found["status"]),
        seconds,
        "",
        f"{hospital.url}/mri/",
        False,
    )
    if found["status"] != "completed" or segmentation is None:
        row.score = str(found.get("error") or "no DICOM SEG is stored")
        return row
    mask = _mask_of(segmentation, made)
    volume = float(mask.sum()) * abs(float(np.linalg.det(made.affine[:3, :3]))) / 1000
    row.score = f"Dice {inputs.dice(mask, made.truth):.3f}; {volume:.2f} ml in a DICOM SEG ({_put_in(made)})"
    row.ok = True
    if hospital.shows_series:
        row.url = f"{hospital.url}/mri/series/{series_id}/"
        row.pictures["lab-series-slices.png"] = _viewer_picture(hospital, f"/mri/series/{series_id}/slices/")
    else:
        row.pictures["lab-series-slice.png"] = _own_picture(made, mask)
    return row


def write(folder: Path, rows: list[Row], notes: list[str]) -> Path:
    """Write the pictures and the page into an empty folder; return the page."""
    processes.emptied(folder)
    parts = []
    for row in rows:
        for name, content in row.pictures.items():
            (folder / name).write_bytes(content)
        pictures = "".join(
            f'<figure><img src="{name}" alt="{name}"><figcaption>{name}</figcaption></figure>'
            for name in map(html.escape, row.pictures)
        )
        heading = f"{row.what} <small>{row.request}, {row.state}, {_time(row)}</small>"
        parts.append(f"<section><h2>{heading}</h2><p>{html.escape(row.score)}</p>{pictures}</section>")
    notes_html = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    page = folder / "index.html"
    page.write_text(_PAGE.format(body="".join(parts), notes=notes_html), encoding="utf-8")
    return page


def show(rows: list[Row], page: Path, notes: list[str]) -> None:
    """Print the table, and where the pictures are."""
    console, table = Console(), Table("request", "what", "state", "seconds", "result")
    for row in rows:
        table.add_row(row.request, row.what, row.state, _time(row), row.score)
    console.print(table)
    for row in rows:
        for name in row.pictures:
            console.print(f"  {page.parent / name}", soft_wrap=True, highlight=False)
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True, highlight=False)
    console.print(f"page: {page.resolve().as_uri()}", soft_wrap=True, highlight=False)


def _score(model: str, result: dict[str, Any]) -> str:
    """Return the headline of a result."""
    if model == "M1":
        return f"{float(result.get('lesion_volume_mm3', 0)) / 1000:.2f} ml in {result.get('lesion_count')} lesions"
    if model == "MG":
        return f"{result.get('predicted_class')}, risk {_number(result.get('risk'))}"
    used = ", ".join(result.get("used") or ())
    return f"risk {_number(result.get('risk'))} from {used or 'nothing'}"


def _put_in(made: inputs.Inputs) -> str:
    """Return what was put into the volume: what is found beyond it is a false alarm."""
    millilitres = float(made.truth.sum()) * abs(float(np.linalg.det(made.affine[:3, :3]))) / 1000
    return f"put in: {millilitres:.2f} ml in {len(inputs.LESIONS_ML)}"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"


def _seconds(row: dict[str, Any]) -> float | None:
    from datetime import datetime

    if not row["callback_at"]:
        return None
    ended, began = (datetime.fromisoformat(row[name]) for name in ("callback_at", "created_at"))
    return (ended - began).total_seconds()


def _time(row: Row) -> str:
    return "-" if row.seconds is None else f"{row.seconds:.1f} s"


def _viewer_picture(hospital: Hospital, address: str) -> bytes:
    """Return the three views through the largest lesion, as the viewer shows them."""
    about = hospital.get(address)
    if "views" not in about:
        return _png(Image.new("RGB", (1, 1)))
    shown = []
    for view in VIEWS:
        each = about["views"][view]
        index = each["slices"] // 2 if each["largest"] is None else each["largest"]
        base, mask = (
            Image.open(BytesIO(hospital.content(f"{address}{view}/{layer}/{index}.png"))).convert("RGBA")
            for layer in ("volume", "mask")
        )
        mask.putalpha(mask.getchannel("A").point(lambda alpha: int(alpha * OPACITY)))
        base.alpha_composite(mask)
        width = max(1, round(TALLEST * each["width_mm"] / each["height_mm"]))
        shown.append(base.convert("RGB").resize((width, TALLEST), Image.Resampling.BILINEAR))
    sheet = Image.new("RGB", (sum(each.width for each in shown) + 8 * (len(shown) - 1), TALLEST))
    left = 0
    for each in shown:
        sheet.paste(each, (left, 0))
        left += each.width + 8
    return _png(sheet)


def _mask_of(segmentation: Any, made: inputs.Inputs) -> Any:
    """Return the mask of a DICOM SEG in the volume's own order, by each frame's position in space."""
    places = np.array([each.ImagePositionPatient for each in made.series], float)
    frames = segmentation.pixel_array.astype(bool).reshape(-1, segmentation.Rows, segmentation.Columns)
    mask = np.zeros(made.truth.shape, bool)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        mask[:, :, int(np.linalg.norm(places - place, axis=1).argmin())] |= frame.T
    return mask


def _own_picture(made: inputs.Inputs, mask: Any) -> bytes:
    """Return the slice with most of the mask, drawn here: without Orthanc the backend has no series to draw."""
    level = int(mask.sum(axis=(0, 1)).argmax())
    plane = made.series[level].pixel_array.astype(np.float32)
    grey = np.clip(plane * (255 / max(float(np.percentile(plane, 99.5)), 1.0)), 0, 255)
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    over = mask[:, :, level].T
    picture[over] = (1 - OPACITY) * picture[over] + OPACITY * np.array(COLOUR)
    return _png(Image.fromarray(picture[::-1, ::-1].astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _unzipped(content: bytes) -> bytes:
    import gzip

    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Hospital demonstration</title>
<style>:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 1rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; background: #000; }} figure {{ margin: 1rem 0; }} small {{ font-weight: normal; }}</style></head>
<body><h1>Hospital demonstration</h1>{notes}{body}
<p>The models are no medical device. MG knows breast tissue, and the risk of MM rests on a link that is made up
(processors/multimodal/CARD.md).</p></body></html>
"""
