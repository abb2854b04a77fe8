"""Interviews: the next question or a whole set by a scenario's stages (`question`), and scores for an answer (`evaluate`).

`contract.py` is all that a submitter imports. `question.py` and `evaluate.py` serve. Both have an honest default that needs no
language model (`bank.py`, `similarity.py`), and use one if a setting names it (`processors/language`). Start with `scenario.py`.
"""
