"""Compares sluice with other job systems on the same work, in one sitting: `sluice bench peers`, `make bench`.

The peers run in an environment of their own (bench/peers). May import: what `bench` may. Start reading at `run.py`;
`figures.py` has what is computed, `peers.py` who is measured.
"""
