"""`sluice mri-lab`: a lab machine that segments MR series, by the settings of the worker that it replaces."""

from __future__ import annotations

from streams.cli.service import Service, serve
from streams.settings import Settings, load_settings

NAME = "mri-lab"


def mri_lab() -> int:
    """Run a lab machine of mri-lab by its old settings.

    A job names a DICOM series in an Orthanc. The machine fetches it, segments it,
    and stores the mask as a DICOM SEG in the same Orthanc. It needs outbound HTTP
    to Orthanc and to the gateway, and nothing else. Any number of machines with
    the same settings share the work.

    Its settings, all from the environment:

    DJANGO_API_URL   https://NAME:TOKEN@HOST/api/mri. Jobs come from the
                     gateway at its origin; the token lets the machine in
    ORTHANC_URL      default http://localhost:8042
    ORTHANC_USER, ORTHANC_PASSWORD
    MODEL_PATH       weights; default: those that sluice ships
    MODEL_SHA256     what the file of MODEL_PATH must hash to
    MODEL_SPEC       its architecture: JSON, or the path of a file with it
    DEVICE           cpu, or cuda, which falls back to the CPU
    THRESHOLD        default 0.5; a job may have its own
    POLL_INTERVAL    accepted, not needed: jobs start as soon as they are there

    For example:

        export DJANGO_API_URL=https://lab1:slt_…@sluice.example.org/api/mri
        sluice mri-lab
    """
    from streams.cli.lab_settings import LabSettings, machine_settings

    old = LabSettings()
    settings = machine_settings(old, load_settings())

    def build(settings: Settings) -> Service:
        from streams import logs
        from streams.worker.worker import Worker

        if old.poll_interval:
            reason = "jobs are handed out as soon as they are there, by long polling"
            logs.get("worker").info("poll_interval_not_needed", reason=reason)
        return Worker(settings, (NAME,))

    return serve("worker", build, settings, (NAME,))
