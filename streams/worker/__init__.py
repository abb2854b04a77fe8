"""The worker: a parent that reads, publishes and commits, and a supervised child that holds the model.

Nothing is imported here: the child must not load the parent. Start reading at `engine.py` (the loop), then `child/main.py`.
"""
