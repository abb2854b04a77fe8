"""The router: turns uploads into jobs by declared rules, and joins the outcomes of one case into the next job.

May import: connectors.callbacks, streams.{admin,client,health,log,wiring}; Faust only in `app.py`, `driver.py` and
`credentials.py`. Start reading at `rules.py` (the rules as data) and `routing.py` (what a record leads to, without I/O);
`handler.py` does it and `app.py` reads the topics. docs/routing.md has examples.
"""
