"""The process that holds the model: decodes, prepares, runs and encodes jobs.

Imports neither confluent_kafka nor the parent's modules. Start reading at `main.py`, then `job_runner.py`.
"""
