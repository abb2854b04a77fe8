"""Submits jobs to one peer, as bench/compare/load.py says on standard input.

python client.py celery_app      # a module of this folder with a SUBMITTER
"""

from __future__ import annotations

import importlib
import sys

from bench.compare.load import serve


def main() -> None:
    serve(importlib.import_module(sys.argv[1]).SUBMITTER())


if __name__ == "__main__":
    main()
