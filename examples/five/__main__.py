"""`make demo-five`: five systems on one sluice on this machine: their states, rows, pictures and callbacks.

Systems 1 and 2 are the hospital's (examples/hospital), 3 to 5 the parts of one FastAPI backend (examples/ai_services). Each
backend has an environment of its own under .tools. Start reading at `demonstrate`.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The modules of the hospital's demonstration, its samples, and the Orthanc of the tests.
sys.path[1:1] = [str(ROOT / "examples" / "hospital" / "demo"), str(ROOT)]

import hospital_systems  # noqa: E402
import interview_system  # noqa: E402
import processes  # noqa: E402
import research_system  # noqa: E402
import stack as five  # noqa: E402
import summary  # noqa: E402
import systems  # noqa: E402
import video_system  # noqa: E402
from summary import Shown  # noqa: E402

HOME = ROOT / ".sluice" / "five"
#: Page and pictures.
OUTPUT = ROOT / ".sluice" / "five-demo"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python examples/five",
        description="Run five systems on one sluice on this machine, as `make demo-five` does: examples/five/README.md",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, for the browser")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the page and pictures; emptied first")
    parser.add_argument("--home", type=Path, default=HOME, help="folder of databases, logs and files; emptied first")
    parser.add_argument("--hospital-port", type=int, default=8000, help="port of the hospital's Django")
    parser.add_argument("--services-port", type=int, default=8001, help="port of the AI services' FastAPI")
    parser.add_argument("--gateway-port", type=int, default=9000, help="port of sluice's gateway")
    options = parser.parse_args()
    return processes.exit_status(demonstrate, options)


def demonstrate(options: argparse.Namespace) -> int:
    """Run all systems. Returns the exit status: 1 if one did not complete or a callback did not arrive."""
    processes.check_ports(options.hospital_port, options.services_port, options.gateway_port)
    home: Path = options.home.absolute()
    hospital_url = f"http://127.0.0.1:{options.hospital_port}"
    with ExitStack() as running:
        sluice = running.enter_context(processes.sluice(ROOT, home, options.gateway_port, five.served(ROOT)))
        callback = f"{hospital_url}/api/ai/callback/"
        hospital = systems.start(running, ROOT, home, sluice.url, options.hospital_port, callback)
        python = processes.environment_of(five.EXAMPLE, ROOT)
        sluice.wait()
        backend = running.enter_context(five.ai_services(python, home, options.services_port, sluice.url))
        jobs: tuple[tuple[str, Callable[[], list[Shown]]], ...] = (
            (summary.TUMOUR, lambda: hospital_systems.tumour(hospital)),
            (summary.SEGMENTATION, lambda: hospital_systems.segmentation(hospital)),
            (summary.INTERVIEW, lambda: interview_system.run(backend, ROOT)),
            (summary.RESEARCH, lambda: research_system.run(sluice.url)),
            (summary.VIDEO, lambda: video_system.run(backend, home)),
        )
        with ThreadPoolExecutor(len(jobs)) as pool:
            shown = [one for system in pool.map(lambda job: _run(*job), jobs) for one in system]
        callbacks = five.callbacks(sluice.url)
        page = summary.write(options.output, shown, callbacks, hospital.made.notes)
        summary.show(shown, callbacks, page, hospital.made.notes)
        if options.keep:
            processes.say(f"Everything runs until Ctrl-C: {hospital_url} and {backend}")
            signal.pause()
    return 0 if all(one.ok for one in shown) and all(each["state"] == "delivered" for each in callbacks) else 1


def _run(system: str, run: Callable[[], list[Shown]]) -> list[Shown]:
    """Run one system. One that breaks off is shown as such, and the others go on."""
    try:
        return run()
    except (processes.DemoError, OSError, ValueError, LookupError) as error:
        processes.say(f"{system}: {error}")
        return [Shown(system, "-", "broke off", [], None, f"{type(error).__name__}: {error}", ok=False)]


if __name__ == "__main__":
    sys.exit(main())
