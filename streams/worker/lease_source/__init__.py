"""Jobs that are claimed by lease (docs/adr/0014): minutes to hours, any idle device takes the next one.

Runs in the parent. May import: connectors (the port `lease_store`), streams.health,
streams.worker.{in_flight,job,protocol,supervision}. Start reading at `source.py`, then `keeper.py` (renewals).
"""
