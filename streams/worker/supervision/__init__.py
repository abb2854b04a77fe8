"""Supervises one child process: its start, messages, limits, replacement and crashes.

Runs in the parent. May import: streams.health, streams.worker.{in_flight,job,pipe,protocol,text_frame}. Start reading at
`supervisor.py`.
"""
