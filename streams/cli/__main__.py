"""`python -m streams.cli`: the same as `sluice`, under a chosen interpreter."""

import sys

from streams.cli import main

sys.exit(main())
