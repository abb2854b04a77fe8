"""What a backend imports: submit jobs, hand in uploads, send commands, read outcomes.

May import: schemas, streams.log and the settings; neither torch nor a database client. Start reading at `submitter.py`.
"""
