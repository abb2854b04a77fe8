"""`python -m streams.cli`: the same as `sluice`, for whoever starts it by interpreter."""

import sys

from streams.cli import main

sys.exit(main())
