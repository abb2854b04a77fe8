"""The client side, for backends and the command line: submit jobs, accept uploads, send commands, wait for outcomes.

May import: connectors (the ports), connectors.callbacks, streams.{log,wiring}; neither torch nor a database client.
Start reading at `submitter.py`.
"""
