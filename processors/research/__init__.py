"""Research: a question in Korean or English in, a report with its sources out, by a graph of four stages.

`contract.py` is what submitters import. `processor.py` serves: `graph.py` has the stages, `checkpointer.py` keeps them through
the job's context, `documents.py`, `terms.py` and `ranking.py` find sentences in a local folder, `report.py` writes, and
`writer.py` asks a language model if one is set. Serving needs the extra `research`.
"""
