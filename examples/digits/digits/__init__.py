"""The processor `digits` reads sheets of handwritten digits. `model.py` is the model; `processor.py` runs it on sluice."""
