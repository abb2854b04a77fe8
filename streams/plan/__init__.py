"""Predicts what an installation needs for a load: devices, partitions, services, disk, and how long jobs wait.

May import: schemas. Start reading at `plan.py`; `queueing.py` has the formulas, and `figures.toml` what was measured.
"""
