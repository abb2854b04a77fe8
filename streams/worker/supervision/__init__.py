"""One child process and what becomes of it: start, messages, limits, replacement, death.

Runs in the parent. May import: the protocol and the jobs in flight. Start reading at `supervisor.py`.
"""
