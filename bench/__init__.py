"""Programs that use a running installation from outside: the benchmarks, the demonstration and a receiver of callbacks.

May import: connectors, connectors.{callbacks,memory}, processors, streams.{cli,client,health,notify,process,stack,wiring},
streams.worker.{protocol,supervision}. How to run and compare benchmarks: README.md. Start reading at `throughput.py`.
"""
