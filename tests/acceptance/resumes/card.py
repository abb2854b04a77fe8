"""Scores `resume` on the committed documents and writes its card: `python -m tests.acceptance.resumes.card`."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from processors.local import claim_of, loaded, run_one
from processors.resume.contract import ResumeInput
from processors.resume.processor import Resume
from tests.acceptance.resumes.build import DOCUMENTS
from tests.acceptance.resumes.scoring import Score, score
from tests.harness.source_tree import ROOT

CARD = ROOT / "processors/resume/CARD.md"
#: The first run on these documents, of the extraction as it was landed (a4a293d), before any of them had been looked at.
FIRST_LOOK, FIRST_LOOK_NAMES, FIRST_LOOK_COMMIT = 0.8990, 1.0, "a4a293d"
FIRST_LOOK_KINDS = {
    "docx headings": 1.0, "docx letterhead": 0.892, "docx one_table": 0.838, "docx sidebar": 1.0, "docx tables": 1.0,
    "docx tabs": 0.973, "html centered": 1.0, "html classic": 1.0, "html dates_left": 0.970, "html form": 0.935,
    "html right_sidebar": 0.872, "html sidebar": 1.0, "pdf single": 1.0, "pdf tables": 0.709, "pdf touching_columns": 0.797,
    "pdf two_columns": 0.974, "theme elegant": 0.638, "theme flat": 0.937, "theme macchiato": 0.835,
    "theme stackoverflow": 0.893, "en": 0.876, "ko": 0.933,
}  # fmt: skip


def main() -> None:
    total, kinds, documents = Score(), defaultdict[str, Score](Score), 0
    processor = loaded(Resume)
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(DOCUMENTS.glob("*.json")):
            about = json.loads(path.read_text(encoding="utf-8"))
            claim = claim_of(path.with_suffix(""), "application/octet-stream")
            made = score(about["fields"], asdict(run_one(processor, ResumeInput(claim), Path(folder))), about["also"])
            documents += 1
            for one in (total, kinds[about["kind"]], kinds[about["language"]]):
                one.include(made)
    CARD.write_text(card(total, kinds, documents), encoding="utf-8")


def card(total: Score, kinds: dict[str, Score], documents: int) -> str:
    """Return the card's text."""
    units = sum(total.total.values())
    names = total.right["name"] / total.total["name"]
    return f"""# Model card: resume {Resume.version}

Fields of a résumé from a PDF or DOCX file, in Korean or English, by rules, layout and a dictionary (Kiwi). No weights.

## Scores

{documents} documents of made-up people, made by someone who did not write the extraction; 16 are rendered by themes of
JSON Resume. Their hashes (`tests/acceptance/resumes/SHA256SUMS`) and the rules of scoring (`scoring.py` there) were committed
before the extraction.

| | all fields | names |
|---|---|---|
| **first look**: commit {FIRST_LOOK_COMMIT}, no document opened before | **{FIRST_LOOK:.1%}** | **{FIRST_LOOK_NAMES:.1%}** |
| after general fixes, the first look's failures in view | {total.share:.1%} of {units} units | {names:.1%} |

**Only the first row is held out.** The second is of documents whose failures were read: it shows what the rules can do on these
layouts, and an unseen layout is more like the first row. The fixes were about kinds of layout, not about texts: heads of tables
in a PDF, dates at the right edge of a left column, icons that are no bullets, lines that seemed to wrap, `at` before an
organisation, headings of other words than the vocabulary's. The bound of the acceptance test (95 %) was missed at the first
look and is met by the second.

{_tables(total, kinds)}{_LIMITS}"""


def _tables(total: Score, kinds: dict[str, Score]) -> str:
    fields = "\n".join(
        f"| {name} | {total.right[name] / count:.1%} | {total.right[name]} of {count} |"
        for name, count in sorted(total.total.items())
    )
    layouts = "\n".join(
        f"| {kind} | {FIRST_LOOK_KINDS[kind]:.1%} | {made.share:.1%} |" for kind, made in sorted(kinds.items())
    )
    return f"""| field | second score | units |
|---|---|---|
{fields}

| layout or language | first look | second score |
|---|---|---|
{layouts}
"""


_LIMITS = """
## Known limits

- All documents are born digital and of one or two pages; a scan is refused. No real person's résumé was used.
- Where nothing says which of two texts is the company and which the position, the order decides: position first in English,
  company first in Korean.
- Two texts in one style on two lines of a narrow column may be joined. A Korean line that has company and position without a
  separator is cut wrongly if the company's name has several words.
- Other languages are read with the English rules, unmeasured.

Written by `python -m tests.acceptance.resumes.card`.
"""


if __name__ == "__main__":
    main()
