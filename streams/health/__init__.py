"""Health of the services: each answers over HTTP whether it is alive and ready; `sluice status` and orchestrators ask.

May import: schemas. Start reading at `report.py` (how health follows from the loops); `server.py` serves it,
`ask.py` asks. `loop_threads.py` runs the loops of a service and notices when one dies. Alive: its loops turn. Ready: it
does its work, and what it needs answers. A service whose database is unreachable is alive but not ready: restarting it
would not help.
"""
