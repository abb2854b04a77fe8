"""Whether a service is alive and takes work: told over HTTP by each service, asked by `sluice status` and by orchestrators.

May import: schemas, settings, logs. Start reading at `report.py` (what is told); `server.py` tells it, `ask.py` asks.
Alive: its loops turn. Ready: it does its work, and what it needs answers. A service whose database is away is alive, not ready:
starting it again would not help.
"""
