"""The former place of `streams.client.submitter`, kept until 0.2."""

from streams.client.submitter import Submitted, Submitter

__all__ = ["Submitted", "Submitter"]
