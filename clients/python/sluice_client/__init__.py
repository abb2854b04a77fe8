"""Client of a sluice gateway: submit jobs, wait for outcomes, stream progress, verify callbacks."""
