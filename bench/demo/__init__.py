"""The demonstration behind `sluice demo` and `make demo`: MR volumes and light jobs through the whole system, then a report.

May import: everything of `streams`, and the sample maker of the segmentation. Start reading at `run.py`.
"""
