"""Definition of what counts as right in a résumé's fields. Fixed and committed together with the documents.

A document's score is right units of all units:

* A single field (name, email, phone, summary) is one unit if the document has it.
* Each skill and each link of the document is one unit.
* Each entry of the document (education, experience, project, language, certificate) has one unit for each of its fields that
  the document gives. Found entries are assigned to those of the document so that as many units as possible are right; an entry
  that was not found has all of its units wrong.
* Anything found that the document does not have adds one unit that is wrong: a value where there is none, a skill, an entry.
  What a reader might count or not (`also` of a document: names of groups of skills, a volunteer's post, addresses of companies)
  is neither right nor wrong.

Equality, by kind of value:

* Names and other short texts: the same letters and digits, with + and #, after NFKC and case folding. Spaces, punctuation and
  line breaks do not count.
* `degree` and `field` are one unit: the same words in both together, in any order. Documents write both in one line.
* Dates: equal as ISO texts. For the end of a position, `current` has to be equal too.
* Phone: the same digits, with +82 written as 0. Links: the same after removing the scheme, `www.` and a last slash.
* Summary and descriptions: the F1 score of their letter pairs is at least 0.8.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LEAST_F1 = 0.8
Equal = Callable[[Any, Any], bool]


@dataclass
class Score:
    """Units by field, such as `experience.title`."""

    right: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, right: int, total: int) -> None:
        self.right[name] += right
        self.total[name] += total

    def include(self, other: Score) -> None:
        self.right.update(other.right)
        self.total.update(other.total)

    @property
    def share(self) -> float:
        return sum(self.right.values()) / max(1, sum(self.total.values()))

    def lines(self) -> list[str]:
        """Return a line a field: its share and its units."""
        return [
            f"{name:28} {self.right[name] / total:7.1%} {self.right[name]:5} of {total}"
            for name, total in sorted(self.total.items())
        ]


def letters(text: str) -> str:
    """Return the letters and digits of a text, with + and #, in one normal form."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum() or c in "+#")


def same_text(one: str, two: str) -> bool:
    return letters(one) == letters(two)


def same_words(one: str, two: str) -> bool:
    return sorted(filter(None, map(letters, one.split()))) == sorted(filter(None, map(letters, two.split())))


def same_phone(one: str, two: str) -> bool:
    def digits(text: str) -> str:
        found = re.sub(r"\D", "", text)
        return "0" + found[2:].lstrip("0") if text.strip().startswith("+82") else found

    return digits(one) == digits(two)


def same_link(one: str, two: str) -> bool:
    def bare(text: str) -> str:
        return re.sub(r"^(https?://)?(www\.)?", "", text.strip().casefold()).rstrip("/")

    return bare(one) == bare(two)


def same_passage(one: str, two: str) -> bool:
    first, second = (Counter(map("".join, itertools.pairwise(letters(text)))) for text in (one, two))
    return 2 * (first & second).total() >= LEAST_F1 * (first.total() + second.total())


def same_email(one: str, two: str) -> bool:
    return one.strip().casefold() == two.strip().casefold()


SINGLE: dict[str, Equal] = {"name": same_text, "email": same_email, "phone": same_phone, "summary": same_passage}
LISTS: dict[str, Equal] = {"skills": same_text, "links": same_link}
ENTRIES: dict[str, dict[str, Equal]] = {
    "education": {"institution": same_text, "degree": same_words, "start": str.__eq__, "end": str.__eq__},
    "experience": {
        "organisation": same_text,
        "title": same_text,
        "start": str.__eq__,
        "end": str.__eq__,
        "description": same_passage,
    },
    "projects": {"name": same_text, "start": str.__eq__, "end": str.__eq__, "description": same_passage},
    "languages": {"language": same_text, "level": same_text},
    "certificates": {"name": same_text, "issuer": same_text, "date": str.__eq__},
}


def score(truth: Mapping[str, Any], found: Mapping[str, Any], also: Mapping[str, list[str]]) -> Score:
    """Return the units of one document. `found` is the output as JSON has it."""
    made = Score()
    for name, equal in SINGLE.items():
        _single(made, name, truth[name], found[name], equal)
    for name, equal in LISTS.items():
        _list(made, name, truth[name], found[name], also.get(name, []), equal)
    for name, fields in ENTRIES.items():
        _entries(made, name, truth[name], found[name], also.get(name, []), fields)
    return made


def _single(made: Score, name: str, truth: str | None, found: str | None, equal: Equal) -> None:
    if truth or found:
        made.add(name, bool(truth and found and equal(truth, found)), 1)


def _list(made: Score, name: str, truth: list[str], found: list[str], also: list[str], equal: Equal) -> None:
    spare = list(found)
    for item in truth:
        match = next((each for each in spare if equal(item, each)), None)
        made.add(name, match is not None, 1)
        if match is not None:
            spare.remove(match)
    made.add(name, 0, sum(not any(equal(each, other) for other in [*truth, *also]) for each in spare))


def _entries(
    made: Score,
    name: str,
    truth: list[dict[str, Any]],
    found: list[dict[str, Any]],
    also: list[str],
    fields: dict[str, Equal],
) -> None:
    wanted, spare = [_flat(name, each) for each in truth], [_flat(name, each) for each in found]
    for entry, match in _assigned(wanted, spare, fields):
        for part, equal in fields.items():
            _single(made, f"{name}.{part}", entry[part], match.get(part), equal)
    for extra in spare:
        if not any(same_text(value, other) for value in extra.values() if value for other in also):
            made.add(name, 0, 1)


def _flat(name: str, entry: Mapping[str, Any]) -> dict[str, str | None]:
    flat = {key: value for key, value in entry.items() if key != "current"}
    if name == "education":
        flat["degree"] = " ".join(filter(None, (entry["degree"], entry["field"])))
    if name == "experience" and entry["current"]:
        flat["end"] = "current"
    return flat


def _assigned(
    wanted: list[dict[str, str | None]], spare: list[dict[str, str | None]], fields: dict[str, Equal]
) -> Iterable[tuple[dict[str, str | None], dict[str, str | None]]]:
    """Yield each wanted entry with the found one (empty: none), the best pairs first; removes these from `spare`."""

    def units(pair: tuple[dict[str, str | None], dict[str, str | None]]) -> int:
        one, two = pair
        return sum(bool(one[part] and two.get(part) and equal(one[part], two[part])) for part, equal in fields.items())

    left = list(wanted)
    while left:
        pairs = [pair for pair in itertools.product(left, spare) if units(pair) > 0]
        if not pairs:
            yield from ((entry, {}) for entry in left)
            return
        best = max(pairs, key=units)
        left.remove(best[0])
        spare.remove(best[1])
        yield best
