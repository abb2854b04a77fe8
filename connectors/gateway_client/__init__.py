"""A gateway over HTTPS, for machines that reach nothing else: leases, results, and the files of leased jobs.

May import: connectors, schemas, httpx2. Start reading at `client.py` (calls and errors), then `wire.py`
(leases as JSON).
"""
