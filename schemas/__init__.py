"""The language every part speaks: Avro schemas, typed records, the wire codec, topics, states and errors.

May import: the standard library, fastavro, uuid_utils. Nothing of ours.
Start reading at `records.py` (what a job carries) and `errors.py` (how it can fail).
"""
