"""The work: what a processor is, how its jobs are batched, and one room per workload.

May import: schemas, and torch (only here). Never connectors: what a processor needs comes through its context.
Start reading at `protocol.py`, then `echo.py`, the smallest processor.
"""
