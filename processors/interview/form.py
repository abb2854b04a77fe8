"""The form of an answer: its length, its sentences, words that join them, and an outcome. A heuristic without understanding."""

from __future__ import annotations

import re
from dataclasses import dataclass

from processors.interview.texts import sentences

_JOINING = {
    "en": re.compile(
        r"\b(because|so that|so|therefore|first|then|next|after|before|when|while|since|but|although|instead|which is why"
        r"|for example|finally|later|as a result)\b",
        re.IGNORECASE,
    ),
    "ko": re.compile(
        "먼저|우선|그래서|따라서|때문|덕분|이후|나중|그 뒤|다음|결국|마침내|하지만"
        "|그러나|반면|대신|예를 들|위해|다만|그때|면서|는데"
    ),
}
_OUTCOME = {
    "en": re.compile(
        r"\d|\b(result|percent|half|twice|doubled|halved|a third|saved|reduced|increased|learned|since then|now|today"
        r"|in the end|finished|agreed|improved|thanked)\b",
        re.IGNORECASE,
    ),
    "ko": re.compile(
        r"\d|결과|퍼센트|절반|두 배|줄었|줄였|늘었|올랐|높였|배웠|배운|깨달|지금|이제"
        r"|나아|되었|됐|완성|해결|달성|마쳤|만족|고마|받았"
    ),
}
#: Letters of an answer: fewer than the first count as too short, from the second on as full, beyond the third as too long.
_LENGTHS = {"en": (60, 220, 2500), "ko": (25, 90, 1200)}
_SENTENCES, _JOINTS = 3, 2


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """`score`: 0 to 100. The flags say what is missing."""

    score: int
    too_short: bool
    too_long: bool
    joined: bool
    outcome: bool


def form_of(answer: str, language: str) -> AnswerForm:
    """Return the form of an answer in `en` or `ko`: length counts 35, sentences 25, joining words and an outcome 20 each."""
    shortest, full, longest = _LENGTHS[language]
    letters = sum(sign.isalnum() for sign in answer)
    length = min(1.0, letters / full) * (1.0 if letters <= longest else max(0.3, longest / letters))
    joints = len(_JOINING[language].findall(answer))
    outcome = _OUTCOME[language].search(answer) is not None
    parts = min(1.0, len(set(sentences(answer))) / _SENTENCES)
    # A heap of joining words is no structure: of a short answer they count as much as its length does.
    score = 35 * length + 25 * parts * min(1.0, letters / shortest)
    score += (20 * min(1.0, joints / _JOINTS) + 20 * outcome) * min(1.0, letters / full)
    return AnswerForm(round(score), letters < shortest, letters > longest, joints > 0, outcome)
