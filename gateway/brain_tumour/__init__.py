"""The HTTP door of brain tumour inference: M1, MG and MM under the ids of a hospital's own backend (docs/brain_tumour.md).

May import: whatever `gateway` may. Start reading at `routes.py`.
"""
