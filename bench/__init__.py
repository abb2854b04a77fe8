"""Measuring the whole road: a receiver of callbacks, and the two benchmarks of `sluice bench`.

May import: streams, connectors. Start reading at `throughput.py`.
"""
