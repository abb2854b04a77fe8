"""Layouts in HTML, printed to PDF by Chromium."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from html import escape
from pathlib import Path

from tests.acceptance.resumes.sheet import MAIN, SIDE, Entry, Section, Sheet

KEEP = "body { word-break: keep-all; line-height: 1.42 }"
FONT = KEEP + "body { font: 10pt 'NanumGothic', 'DejaVu Sans', sans-serif }"
SERIF = KEEP + "body { font: 10.5pt 'NanumMyeongjo', 'DejaVu Serif', serif }"
PLAIN = (
    "ul { margin: 2px 0 8px; padding-left: 18px } h1 { margin: 0 } h2 { font-size: 12pt; margin: 14px 0 4px } "
    "p { margin: 2px 0 }"
)


def printed(html: str, folder: Path, chromium: str) -> bytes:
    """Return the page as a PDF on A4."""
    page, pdf = folder / "page.html", folder / "page.pdf"
    page.write_text(html, encoding="utf-8")
    subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=3000",
         f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={pdf}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return pdf.read_bytes()


def page(body: Iterable[str], css: str) -> str:
    head = f"<!doctype html><html><head><meta charset='utf-8'><style>{PLAIN}{css}</style></head>"
    return f"{head}<body>{''.join(body)}</body></html>"


def bullets(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def paragraphs(lines: list[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def heading(section: Section) -> str:
    return f"<h2>{escape(section.heading)}</h2>"


def classic(sheet: Sheet) -> str:
    """A single column; dates at the right; contact in one line with bars."""
    css = FONT + ".d { float: right; color: #555 } h2 { border-bottom: 1px solid #333 } h1 { font-size: 22pt }"

    def entry(each: Entry) -> str:
        second = f"<br><i>{escape(each.second)}</i>" if each.second else ""
        return f"<div><span class='d'>{escape(each.dates)}</span><b>{escape(each.first)}</b>{second}{bullets(each.lines)}</div>"

    body = [f"<h1>{escape(sheet.name)}</h1>", f"<p>{escape(sheet.person.label)}</p>"]
    body.append(f"<p>{' | '.join(escape(value) for _, value in sheet.contact)}</p>")
    for section in sheet.sections:
        body += [heading(section), paragraphs(section.lines), *map(entry, section.entries)]
    return page(body, css)


def dates_left(sheet: Sheet) -> str:
    """A narrow column of dates beside a wide one."""
    css = FONT + ".e { display: grid; grid-template-columns: 130px 1fr; margin-bottom: 4px } .e .d { color: #357 }"
    css += "h2 { background: #eef; padding: 3px 6px } h1 { font-size: 20pt }"

    def entry(each: Entry) -> str:
        second = f", {escape(each.second)}" if each.second else ""
        text = f"<div><b>{escape(each.first)}</b>{second}{bullets(each.lines)}</div>"
        return f"<div class='e'><div class='d'>{escape(each.dates)}</div>{text}</div>"

    body = [f"<h1>{escape(sheet.name)}</h1>"]
    body += [f"<p>{escape(label)}: {escape(value)}</p>" for label, value in sheet.contact]
    for section in sheet.sections:
        body += [heading(section), paragraphs(section.lines), *map(entry, section.entries)]
    return page(body, css)


def centered(sheet: Sheet) -> str:
    """Serif, the head centred, upper-case headings, each entry's head in one line with the dates in brackets."""
    css = (
        SERIF
        + "header { text-align: center } h2 { text-transform: uppercase; letter-spacing: 1px; text-align: center }"
    )

    def entry(each: Entry) -> str:
        second = f", {escape(each.second)}" if each.second else ""
        return f"<p><b>{escape(each.first)}</b>{second} ({escape(each.dates)})</p>{bullets(each.lines)}"

    body = [f"<header><h1>{escape(sheet.name)}</h1><p>{escape(sheet.person.label)}</p>"]
    body.append(f"<p>{' &middot; '.join(escape(value) for _, value in sheet.contact)}</p></header>")
    for section in sheet.sections:
        body += [heading(section), paragraphs(section.lines), *map(entry, section.entries)]
    return page(body, css)


def sidebar(sheet: Sheet, right: bool = False) -> str:
    """Contact, skills, languages and certificates in a coloured column, the rest beside it."""
    css = (
        FONT
        + "body { margin: 0 } .g { display: grid; gap: 22px; grid-template-columns: "
        + ("1fr 200px" if right else "200px 1fr")
    )
    css += "} aside { background: #24344d; color: #fff; padding: 14px; font-size: 9pt } h1 { font-size: 19pt }"
    css += "aside p { overflow-wrap: anywhere }"
    css += "main { padding: 14px } .d { color: #777; font-size: 9pt }"

    def entry(each: Entry) -> str:
        second = f" @ {escape(each.second)}" if each.second else ""
        return f"<p><b>{escape(each.first)}</b>{second}</p><p class='d'>{escape(each.dates)}</p>{bullets(each.lines)}"

    def short(each: Entry) -> str:
        return f"<p>{escape(each.first)}</p><p>{escape(each.second)}, {escape(each.dates)}</p>"

    label = "연락처" if sheet.person.korean else "Contact"
    aside = [f"<h2>{label}</h2>", *(f"<p>{escape(value)}</p>" for _, value in sheet.contact)]
    for section in sheet.some(*SIDE):
        names = [
            part for line in section.lines for part in ([line] if section.kind == "languages" else line.split(", "))
        ]
        aside += [heading(section), paragraphs(names), *map(short, section.entries)]
    main = [f"<h1>{escape(sheet.name)}</h1><p>{escape(sheet.person.label)}</p>"]
    for section in sheet.some(*MAIN):
        main += [heading(section), paragraphs(section.lines), *map(entry, section.entries)]
    columns = [f"<aside>{''.join(aside)}</aside>", f"<main>{''.join(main)}</main>"]
    return page(["<div class='g'>", *(reversed(columns) if right else columns), "</div>"], css)


def form(sheet: Sheet) -> str:
    """A Korean form: one bordered table a section, with a row of column names."""
    css = (
        FONT
        + "table { width: 100%; border-collapse: collapse; margin: 6px 0 12px } "
        + "td, th { border: 1px solid #444; padding: 4px 6px; vertical-align: top }"
    )
    css += "th { background: #eee; white-space: nowrap } h1 { text-align: center; letter-spacing: 8px }"
    columns = {
        "education": ("기간", "학교명", "전공", "학위"),
        "experience": ("근무기간", "회사명", "직위", "담당업무"),
        "projects": ("기간", "프로젝트명", "내용"),
        "certificates": ("취득일", "자격증명", "발행처"),
    }

    def row(cells: Iterable[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(c).replace(chr(10), '<br>')}</{tag}>" for c in cells) + "</tr>"

    body = [
        "<h1>이력서</h1><table>",
        f"<tr><th>성명</th><td>{escape(sheet.name)}</td><th>지원분야</th><td>{escape(sheet.person.label)}</td></tr>",
    ]
    pairs = sheet.contact + [("", "")] * (len(sheet.contact) % 2)
    for (one, first), (two, second) in zip(pairs[::2], pairs[1::2], strict=True):
        body.append(f"<tr><th>{one}</th><td>{escape(first)}</td><th>{two}</th><td>{escape(second)}</td></tr>")
    body.append("</table>")
    for section in sheet.sections:
        body += [heading(section), paragraphs(section.lines)]
        if section.entries:
            body += ["<table>", row(columns[section.kind], "th"), *(row(e.cells) for e in section.entries), "</table>"]
    return page(body, css)
