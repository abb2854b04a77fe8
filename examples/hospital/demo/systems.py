"""The hospital's two systems beside a running sluice: what they need is started, then a request goes through each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import inputs
import lab
import processes
import report
from hospital_client import Hospital


@dataclass(frozen=True, slots=True)
class Systems:
    """`orthanc`: its settings, none if it is not available. `series`: the folder that the old worker then reads."""

    hospital: Hospital
    orthanc: dict[str, str]
    series: Path
    made: inputs.Inputs

    def tumour(self) -> list[report.Row]:
        """System 1: M1 and MG at once, then MM from both and the proteins."""
        hospital, made = self.hospital, self.made
        processes.say("M1 (MR volume) and MG (gene expression) are sent by the backend")
        started = {"M1": hospital.start("M1", made.volume), "MG": hospital.start("MG", made.genes)}
        order = hospital.add_order(made.proteins)
        ended = {model: hospital.ended(id_) for model, id_ in started.items()}
        processes.say("MM (multimodal) is started with both results and the proteins")
        chosen = {"m1_ai_req_id": started["M1"], "mg_ai_req_id": started["MG"], "biomarker_upload_id": order}
        ended["MM"] = hospital.ended(hospital.start_multimodal(chosen))
        return [report.tumour_row(model, row, hospital, made) for model, row in ended.items()]

    def segmentation(self) -> list[report.Row]:
        """System 2: a series from the button to the DICOM SEG, by the old lab machine."""
        return lab.segment(self.hospital, self.series, self.orthanc, self.made)


def start(stack: ExitStack, root: Path, home: Path, sluice_url: str, port: int, callback_url: str) -> Systems:
    """Start Orthanc, Django and the old lab machine while sluice starts, and make the patient's data."""
    with ThreadPoolExecutor(2) as pool:
        installing = pool.submit(processes.environment_of, processes.EXAMPLE, root)
        fetching = pool.submit(lab.programs)
        python = installing.result()
        orthanc = stack.enter_context(lab.orthanc(fetching.result(), home))
    backend = processes.django(python, home, port, sluice_url, callback_url, orthanc)
    hospital = Hospital(stack.enter_context(backend), python, home, shows_series=bool(orthanc))
    folder = stack.enter_context(lab.old_worker(sluice_url, orthanc, home))
    return Systems(hospital, orthanc, folder, inputs.make(home / "inputs"))
