"""`make demo-hospital`: both systems of a hospital on this machine, from an MR volume to pictures in the browser.

Runs in sluice's environment; Django gets one of its own under .tools. Start reading at `main`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))  # the samples, and the Orthanc of the tests

import processes  # noqa: E402
import report  # noqa: E402
import systems  # noqa: E402

HOME = ROOT / ".sluice" / "hospital"
#: Page and pictures.
OUTPUT = ROOT / ".sluice" / "hospital-demo"
#: The old systems' own default: sluice replaces `localhost` by DJANGO_URL.
CALLBACK_URL = "http://localhost:8000/api/ai/callback/"


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
    return processes.exit_status(demonstrate, options)


def demonstrate(options: argparse.Namespace) -> int:
    """Run both systems. Returns the exit status: 1 if a job did not complete or a callback did not arrive."""
    processes.check_ports(options.backend_port, options.gateway_port)
    home: Path = options.home.absolute()
    backend = {"DJANGO_URL": f"http://127.0.0.1:{options.backend_port}"}
    served = replace(processes.HOSPITAL, settings={**processes.HOSPITAL.settings, **backend})
    with ExitStack() as stack:
        sluice = stack.enter_context(processes.sluice(ROOT, home, options.gateway_port, served))
        both = systems.start(stack, ROOT, home, sluice.url, options.backend_port, CALLBACK_URL)
        sluice.wait()
        rows, notes = [*both.tumour(), *both.segmentation()], both.made.notes
        report.show(rows, report.write(options.output, rows, notes), notes)
        if options.keep:
            processes.say(f"Everything runs until Ctrl-C: {both.hospital.url}")
            signal.pause()
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
