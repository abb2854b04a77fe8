"""The former place of `streams.client.commands`, kept until 0.2."""

from streams.client.commands import CommandClient as Controls

__all__ = ["Controls"]
