"""Inferences of brain tumours and segmentations of MR series.

`api.py` is the JSON that the front end and sluice speak, `pages.py` the pages, `door.py` everything that speaks with sluice,
`callbacks.py` stores outcomes, `slices.py` draws slices, `models.py` is the tables.
"""
