"""The HTTP door of research runs: four endpoints of a research backend, whose tasks are jobs of `research` (docs/research.md).

May import: whatever `gateway` may. Start reading at `routes.py`.
"""
