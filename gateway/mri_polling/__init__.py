"""`/api/mri/segmentation`: the polling contract of lab machines that were there before sluice (docs/mri_lab.md).

Off by default. The jobs are those of lab workers, too (`gateway/lab.py`): a poll gets an offered lease, its report takes the
lease up, and its completion becomes a result that is checked and published like any other. May import: gateway,
processors.mri_lab. Start reading at `routes.py`, then `polling.py`.
"""
