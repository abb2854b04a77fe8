"""Compares the outcomes of a shadow run with those that count, and reports the differences as text, JSON and HTML.

May import: connectors, processors, streams.{admin,log}. Start reading at `differences.py`, which is pure; `report.py` puts a
report together.
"""
