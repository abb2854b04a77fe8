"""An independent checker: reads the log from offset 0, Postgres and the receiver's journal, and says what was broken.

May import: nothing of the project, so that it can't share a mistake with the engine; only the `.avsc` files are common.
Start reading at `evidence.py` (what is compared) and `findings.py` (the words it reports in).
"""
