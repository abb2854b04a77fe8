"""Processors that only tests run. Each has faults or policies that no shipped processor has."""
