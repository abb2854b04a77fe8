"""The processors: what a processor is, how its jobs are batched, and one package per workload.

May import: schemas, and torch (only here). Never connectors: a processor gets what it needs through its context.
Start reading at `protocol.py`, then `echo.py`, the smallest processor.
"""
