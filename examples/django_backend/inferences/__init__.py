"""Inferences: `views.py` is the HTTP contract of the front end, `jobs.py` speaks with sluice, `models.py` is the table."""
