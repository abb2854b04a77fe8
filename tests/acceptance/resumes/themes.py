"""Résumés rendered by the JSON Resume themes of npm: HTML made by Node, printed to PDF by Chromium."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.acceptance.resumes.html_layouts import printed
from tests.acceptance.resumes.people import HERE, Person, Shown

#: The versions that rendered the committed documents; the themes load Bootstrap from a CDN, so it is installed beside them.
PACKAGES = (
    "resume-schema@1.0.1",
    "jsonresume-theme-elegant@1.16.1",
    "jsonresume-theme-stackoverflow@3.3.0",
    "jsonresume-theme-flat@0.3.7",
    "jsonresume-theme-macchiato@1.1.0",
    "bootstrap-flat@npm:bootstrap@3.2.0",
    "bootstrap-elegant@npm:bootstrap@3.3.6",
)
RENDER = """
const [theme, file] = process.argv.slice(1);
const { render } = require(process.cwd() + "/node_modules/jsonresume-theme-" + theme);
const resume = JSON.parse(require("fs").readFileSync(file, "utf-8"));
Promise.resolve(render(resume)).then((html) => process.stdout.write(html));
"""
#: What each theme leaves out.
SHOWN = {
    "elegant": Shown(levels=False, one_link=True),
    "stackoverflow": Shown(one_link=True),
    "flat": Shown(without=frozenset({"projects", "certificates"}), one_link=True),
    "macchiato": Shown(without=frozenset({"certificates"}), one_link=True),
}


def install(folder: Path) -> None:
    """Install the themes into `folder` without running any script of theirs."""
    (folder / "package.json").write_text('{"private": true}\n')
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(["npm", "install", *options, *PACKAGES], cwd=folder, check=True)


def sample(folder: Path) -> dict[str, Any]:
    """Return the sample of `resume-schema`, with the older names of its fields beside the new ones."""
    text = (folder / "node_modules/resume-schema/sample.resume.json").read_text(encoding="utf-8")
    return _with_old_names(json.loads(text))


#: Of the sample: what may be found or not (`scoring.py`).
SAMPLE_ALSO = {
    "links": [
        "https://soundcloud.example.com/dandymusicnl", "missdirection.example.com", "http://piedpiper.example.com",
        "http://coderdojo.example.com/", "https://www.ou.edu/", "http://en.wikipedia.org/wiki/Silicon_Valley_(TV_series)",
    ],
    "skills": ["Web Development", "Compression", "Master"],
    "experience": ["CoderDojo"],
}  # fmt: skip


def sample_truth(shown: Shown) -> dict[str, Any]:
    """Return the fields of the sample, read by a person, as far as a theme shows them."""
    fields: dict[str, Any] = json.loads((HERE / "sample_truth.json").read_text(encoding="utf-8"))
    if not shown.levels:
        fields["languages"] = [{**each, "level": None} for each in fields["languages"]]
    return fields | {section: [] for section in shown.without}


def json_resume(person: Person) -> dict[str, Any]:
    """Return a person in the JSON Resume format."""

    def dates(start: str, end: str) -> dict[str, str]:
        return {"startDate": start} | ({} if end == "present" else {"endDate": end})

    basics = {
        "name": person.name, "label": person.label, "email": person.email, "phone": person.phone,
        "summary": person.summary, "location": {"city": person.city}, "profiles": [],
    }  # fmt: skip
    if person.links:
        basics["url"] = person.links[0]
    work = [
        {"name": place, "position": title, **dates(start, end), "highlights": lines}
        for place, title, start, end, lines in person.work
    ]
    education = [
        {"institution": place, "studyType": degree, "area": subject, **dates(start, end)}
        for place, degree, subject, start, end in person.education
    ]
    projects = [{"name": name, "description": text, **dates(start, end)} for name, start, end, text in person.projects]
    resume = {
        "basics": basics, "work": work, "education": education, "projects": projects,
        "skills": [{"name": group or "Skills", "keywords": names} for group, names in person.skills.items()],
        "languages": [{"language": name, "fluency": level} for name, level in person.languages],
        "certificates": [{"name": n, "issuer": issuer, "date": date} for n, issuer, date in person.certificates],
    }  # fmt: skip
    return _with_old_names(resume)


def _with_old_names(resume: dict[str, Any]) -> dict[str, Any]:
    if "url" in resume["basics"]:
        resume["basics"]["website"] = resume["basics"]["url"]
    for job in resume["work"]:
        job["company"] = job["name"]
    return resume


def render(theme: str, resume: dict[str, Any], folder: Path, chromium: str) -> bytes:
    """Return the PDF of a JSON Resume in a theme installed in `folder`."""
    file = folder / "resume.json"
    file.write_text(json.dumps(resume), encoding="utf-8")
    made = subprocess.run(
        ["node", "-e", RENDER, theme, str(file)],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    local = folder / f"node_modules/bootstrap-{theme}/dist/css/bootstrap.min.css"
    html = re.sub(r"https?://[\w./-]*bootstrap\.min\.css", str(local), made.stdout.decode())
    return printed(html, folder, chromium)
