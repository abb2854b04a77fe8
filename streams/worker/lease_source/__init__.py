"""Jobs that are claimed by lease (docs/adr/0014): minutes to hours, any idle device takes the next one.

Runs in the parent. May import: the port `connectors.lease_store`, the jobs in flight and the supervisor. Start reading at
`source.py`, then `keeper.py` (renewals).
"""
