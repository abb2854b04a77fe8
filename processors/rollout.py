"""SLUICE_ROLLOUT as data: the version of a processor that runs a job. Pure.

    segmentation=1.0.0,2.0.0:10;embed=2

means: segmentation runs 1.0.0, and 2.0.0 for ten percent of its jobs; embed runs 2. A version at 0 percent is loaded for the
jobs that are pinned to it. To roll back, change the setting.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import accumulate

from schemas.contract import NAME

_VERSION = re.compile(r"[^\s,;:=]{1,100}")
EXAMPLE = "segmentation=1.0.0,2.0.0:10;embed=2"


@dataclass(frozen=True, slots=True)
class Rollout:
    """The versions of one processor. `canaries`: versions besides the default, each with its percentage of the jobs."""

    default: str
    canaries: tuple[tuple[str, float], ...] = ()

    @property
    def shares(self) -> dict[str, float]:
        """The percentage of the jobs that each version gets, the default first."""
        canaries = dict(self.canaries)
        return {self.default: round(100 - sum(canaries.values()), 6), **canaries}

    def version_of(self, job_id: str) -> str:
        """Return the version that runs a job.

        A job always gets the same version, so its retries and replays stay with it. While a canary's share only grows, the
        canary keeps its jobs.
        """
        percentile = percentile_of(job_id)
        bounds = accumulate(share for _, share in self.canaries)
        for (version, _), bound in zip(self.canaries, bounds, strict=True):
            if percentile < bound:
                return version
        return self.default


def percentile_of(job_id: str) -> float:
    """Hash a job id to a number from 0 to below 100, uniform over all job ids."""
    digest = hashlib.blake2b(job_id.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48 * 100


def parse_rollout(text: str) -> dict[str, Rollout]:
    """Parse SLUICE_ROLLOUT into the rollout of each processor it names. Raises ValueError that says what is wrong."""
    found: dict[str, Rollout] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, versions = map(str.strip, part.partition("="))
        if not equals or not NAME.fullmatch(name):
            raise ValueError(f"{part!r} does not begin with a processor's name and '=' (as in {EXAMPLE!r})")
        if name in found:
            raise ValueError(f"{name!r} is named twice")
        found[name] = _rollout(name, [version.strip() for version in versions.split(",")])
    return found


def _rollout(name: str, versions: list[str]) -> Rollout:
    default, *others = versions
    if ":" in default:
        raise ValueError(
            f"the first version of {name!r} gets what the others leave, so it has no percentage: {default!r}"
        )
    canaries = tuple(_canary(name, other) for other in others)
    named = [default, *(version for version, _ in canaries)]
    if not all(_VERSION.fullmatch(version) for version in named):
        raise ValueError(f"{name!r} names no usable version in {','.join(versions)!r}")
    if len(set(named)) < len(named):
        raise ValueError(f"{name!r} names a version twice: {', '.join(named)}")
    if sum(share for _, share in canaries) > 100:
        raise ValueError(f"the percentages of {name!r} are more than 100 together")
    return Rollout(default, canaries)


def _canary(name: str, text: str) -> tuple[str, float]:
    version, colon, share = map(str.strip, text.partition(":"))
    try:
        percent = float(share)
    except ValueError:
        percent = -1.0
    if not colon or not 0 <= percent <= 100:
        raise ValueError(f"version {version!r} of {name!r} needs a percentage from 0 to 100, as in '{version}:10'")
    return version, percent
