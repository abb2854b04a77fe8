"""The report as HTML: complete in itself, and no value of a job becomes markup."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from connectors.shadow_store import ShadowPair
from streams.shadow import report_html
from streams.shadow.report_html import html_of
from streams.shadow.report_json import json_of
from tests.harness.volumes import write_nifti
from tests.unit.streams.shadow.kit import ending, pair, report_of, stored

EVIL = "</table><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names = list[str]()
        self.attributes = list[tuple[str, str | None]]()
        self.open = list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_whatever_a_job_says_is_text(tmp_path: Path) -> None:
    before = {EVIL: EVIL, "list": [EVIL], "note": f"fine {EVIL}"}
    case = pair(ending(before), ending({"list": ["b"], "note": f"bad {EVIL}"}), case_id=EVIL, job_id=EVIL)
    failed = pair(ending(before), ending(state=EVIL, code=EVIL), 2, case_id=EVIL)
    parked = pair(ending(before), None, 3, state="parked", reason=EVIL)
    page = html_of(report_of(tmp_path, case, failed, parked, reason=EVIL))
    tags = Tags(page)
    assert tags.open == []
    assert {"script", "img", "iframe", "link", "a"} & set(tags.names) == set()
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = html_of(report_of(tmp_path, *mask_pairs(tmp_path)))
    tags = Tags(page)
    sources = [value or "" for name, value in tags.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in unescape(page)
    assert not re.search(r"https?://|url\(|@import", page)


def test_a_mask_has_its_picture_dice_and_volume(tmp_path: Path) -> None:
    page = html_of(report_of(tmp_path, *mask_pairs(tmp_path)))
    assert page.count('class="mask"') == 1
    assert "Dice 0.8889, +0.016 ml" in page
    assert "<svg" in page


def test_a_partial_report_says_so(tmp_path: Path) -> None:
    page = html_of(report_of(tmp_path, pair(ending({}), None)))
    assert "Partial: 1 of 1 shadow runs have not ended." in page
    assert "Partial" not in html_of(report_of(tmp_path, pair(ending({}), ending({}))))


def test_a_text_shows_which_words_differ(tmp_path: Path) -> None:
    page = html_of(report_of(tmp_path, pair(ending({"t": "no acute <b>"}), ending({"t": "no chronic <b>"}))))
    assert "no <del>acute</del> &lt;b&gt;" in page
    assert "no <ins>chronic</ins> &lt;b&gt;" in page


def test_cases_beyond_the_most_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_html, "MOST_CASES", 2)
    cases = [pair(ending({"a": n}), ending({"a": n + 1}), n) for n in range(5)]
    assert "3 more cases are in the JSON." in html_of(report_of(tmp_path, *cases))


def test_the_json_has_every_case_and_no_number_that_json_lacks(tmp_path: Path) -> None:
    cases = [pair(ending({"a": 1.0}), ending({"a": float("inf")}), n) for n in range(3)]
    document = json_of(report_of(tmp_path, *cases))
    assert [case["n"] for case in document["cases"]] == [0, 1, 2]
    assert document["cases"][0]["fields"][0]["after"] is None
    assert document["summary"]["results"]["different"] == 3
    assert document["complete"]


def mask_pairs(folder: Path) -> list[ShadowPair]:
    masks = []
    for n in (4, 5):
        data = np.zeros((10, 10, 10), dtype=np.uint8)
        data[2:6, 2:6, 2 : 2 + n] = 1
        masks.append(stored(folder, write_nifti(folder / "m.nii.gz", data).read_bytes(), "application/x-nifti"))
    return [pair(ending({"mask": masks[0]}), ending({"mask": masks[1]}))]
