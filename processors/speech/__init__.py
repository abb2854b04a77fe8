"""Speech to text: an audio file in, its text with times out. Other rooms use `transcriber.py`, `turns.py` and `audio.py`.

`contract.py` is all that a submitter imports. `processor.py` serves jobs: it decodes the file (`audio.py`), finds the turns of
speech (`turns.py`) and transcribes each (`transcriber.py`, by `whisper.py` or, where faster-whisper is not installed,
`sphinx.py`). `models.py` finds the models. `evaluate.py` measures them and writes `CARD.md`.
"""
