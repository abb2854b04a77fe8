"""`python manage.py add_patient P-0001 김하늘`"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ai.models import Patient


class Command(BaseCommand):
    help = "Add a patient, or give an existing one another name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("patient_id")
        parser.add_argument("name")

    def handle(self, *_: Any, **options: Any) -> None:
        Patient.objects.update_or_create(patient_id=options["patient_id"], defaults={"name": options["name"]})
