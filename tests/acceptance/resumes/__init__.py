"""Résumés of made-up people in varied layouts, with their fields: the held-out documents that `resume` is scored on.

`build.py` wrote the documents once; they and their truth are committed, and SHA256SUMS has their hashes. `scoring.py` defines
what counts as right.
"""
