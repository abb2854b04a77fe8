"""Video analysis: the upload backend of contract v1.1 (docs/video.md of sluice)."""
