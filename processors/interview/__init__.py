"""Interviews: the next question or a whole set by a scenario's stages (`question`), and scores for an answer (`evaluate`).

`contract.py` is all that a submitter imports. `question.py` and `evaluate.py` serve. Their honest default needs no language
model; they use one if a setting names it (`processors/language`). Start with `scenario.py`.
"""
