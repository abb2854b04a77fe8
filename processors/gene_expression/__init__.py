"""Gene expression: the tumour class of a sample from its table of gene expression (CSV), with a risk and two result files.

`contract.py` is all that a submitter imports. Serving needs torch (`processor.py`, then `csv_file.py`, `table.py`,
`network.py`, `results.py`). `train.py` and `evaluate.py` make the shipped weights and `CARD.md`; `glioma.py` makes weights
for another tumour on the user's machine.
"""
