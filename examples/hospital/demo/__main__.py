"""`make demo-hospital`: both systems of a hospital on this machine, from an MR volume to pictures in the browser.

Runs in sluice's environment; Django gets one of its own under .tools. Start reading at `main`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))  # the samples, and the Orthanc of the tests

import inputs  # noqa: E402
import lab  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
from hospital_client import Hospital  # noqa: E402

HOME = ROOT / ".sluice" / "hospital"
#: Page and pictures.
OUTPUT = ROOT / ".sluice" / "hospital-demo"
INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo-hospital", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, for the browser")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the page and pictures; emptied first")
    parser.add_argument(
        "--home", type=Path, default=HOME, help="folder of databases, logs and files; emptied at the start"
    )
    parser.add_argument("--backend-port", type=int, default=8000, help="port of Django")
    parser.add_argument("--gateway-port", type=int, default=9000, help="port of sluice's gateway")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return demonstrate(options)
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.", file=sys.stderr)
        return INTERRUPTED
    except processes.DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def demonstrate(options: argparse.Namespace) -> int:
    """Run both systems. Returns the exit status: 1 if a job did not complete or a callback did not arrive."""
    processes.check_ports(options.backend_port, options.gateway_port)
    home: Path = options.home.absolute()
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        sluice = stack.enter_context(processes.sluice(ROOT, home, options.gateway_port, options.backend_port))
        # All else is made and started while sluice starts.
        installing = pool.submit(processes.django_environment, ROOT)
        fetching = pool.submit(lab.programs)
        python = installing.result()
        orthanc = stack.enter_context(lab.orthanc(fetching.result(), home))
        backend = processes.django(python, home, options.backend_port, sluice.url, orthanc)
        hospital = Hospital(stack.enter_context(backend), python, home, shows_series=bool(orthanc))
        folder = stack.enter_context(lab.old_worker(sluice.url, orthanc, home))
        made = inputs.make(home / "inputs")
        sluice.wait()
        rows = [*_tumour(hospital, made), *lab.segment(hospital, folder, orthanc, made)]
        report.show(rows, report.write(options.output, rows, made.notes), made.notes)
        if options.keep:
            processes.say(f"Everything runs until Ctrl-C: {hospital.url}")
            signal.pause()
    return 0 if all(row.ok for row in rows) else 1


def _tumour(hospital: Hospital, made: inputs.Inputs) -> list[report.Row]:
    """System 1: M1 and MG at once, then MM from both and the proteins."""
    processes.say("M1 (MR volume) and MG (gene expression) are sent by the backend")
    started = {"M1": hospital.start("M1", made.volume), "MG": hospital.start("MG", made.genes)}
    order = hospital.add_order(made.proteins)
    ended = {model: hospital.ended(id_) for model, id_ in started.items()}
    processes.say("MM (multimodal) is started with both results and the proteins")
    chosen = {"m1_ai_req_id": started["M1"], "mg_ai_req_id": started["MG"], "biomarker_upload_id": order}
    ended["MM"] = hospital.ended(hospital.start_multimodal(chosen))
    return [report.tumour_row(model, row, hospital, made) for model, row in ended.items()]


if __name__ == "__main__":
    sys.exit(main())
