"""Shared by every part: Avro schemas, typed records, the wire codec, topics, states and errors.

May import: the standard library, fastavro, uuid_utils. No other package of the project.
Start reading at `records.py` (the fields of a job) and `errors.py` (how it can fail).
"""
