"""Programs that use a running installation from outside: the benchmarks, the demonstration and a receiver of callbacks.

May import: streams, processors, connectors. How to run and compare benchmarks: README.md. Start reading at `throughput.py`.
"""
