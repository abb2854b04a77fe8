"""The task by itself."""

from __future__ import annotations

from tasks import celery, read_digits
from test_contract import DIGITS, SHEET


def test_the_task_reads_a_sheet() -> None:
    assert read_digits.apply([str(SHEET)]).get()["digits"] == DIGITS


def test_the_tasks_name_is_the_one_that_workers_register() -> None:
    assert read_digits.name == "tasks.read_digits"
    assert read_digits.name in celery.tasks
