"""The worker: a parent that reads, publishes and commits, and a supervised child that holds the model.

May import: everything below `streams`; processors only in the child. Start reading at `parent.py` (the loop), then `child.py`.
"""

from streams.worker.worker import Worker

__all__ = ["Worker"]
