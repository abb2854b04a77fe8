"""Research runs: the four endpoints of a research backend (docs/research.md of sluice)."""
