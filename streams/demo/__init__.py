"""The demonstration behind `make demo`: real volumes and light jobs on the whole road, then what became of each.

May import: everything of `streams`, and the segmentation's sample maker. Start reading at `run.py`.
"""
