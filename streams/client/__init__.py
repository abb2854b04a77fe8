"""The client side, for backends and the command line: submit jobs, announce uploads, send commands, wait for outcomes.

May import: schemas, connectors.callbacks, streams.log, the wiring and the settings; neither torch nor a database client.
Start reading at `submitter.py`.
"""
