"""Shared by tests: real services, databases and topics of a test's own, processors, and readers of the log.

May import: everything of the project; nothing of `tests` outside this folder. Start reading at `installation.py` and
`services.py`.
"""
