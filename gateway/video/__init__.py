"""The HTTP door of video analysis: contract v1.1 of an upload backend, by that backend's own job ids (docs/video.md).

May import: whatever `gateway` may. Start reading at `routes.py`.
"""
