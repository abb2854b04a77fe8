"""Résumés in PDF and DOCX, Korean and English, to structured fields. `contract.py` says what goes in and what comes out."""
