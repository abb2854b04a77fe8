"""Supervises one child process: its start, messages, limits, replacement and crashes.

Runs in the parent. May import: the protocol and the jobs in flight. Start reading at `supervisor.py`.
"""
