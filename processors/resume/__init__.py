"""Résumés: fields from PDF and DOCX files, Korean and English, for a jsonb column.

`contract.py` is all that a submitter imports. Serving needs the extra `interview` (`processor.py`, then `pdf.py`,
`docx_file.py`, `layout.py`, `sections.py`, `extract.py`); docs/resume.md says which file does what.
"""
