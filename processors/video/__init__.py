"""The processor `video`: fetches a film, and returns its text in timed segments with a speaker for each.

May import: schemas, processors. Start reading at `contract.py`, then `processor.py`.
"""
