"""Which version of a processor a job runs with: what SLUICE_ROLLOUT says, as data. Pure.

    segmentation=1.0.0,2.0.0:10;embed=2

is: segmentation runs 1.0.0, ten per cent of its jobs 2.0.0; embed runs 2. A version at 0 per cent is loaded for the jobs that
are pinned to it. To roll back, change the setting.
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
    """For one processor. `canaries`: other versions, each with the per cent of jobs that it gets."""

    default: str
    canaries: tuple[tuple[str, float], ...] = ()

    @property
    def shares(self) -> dict[str, float]:
        """Every version with its per cent of the jobs, the default first."""
        given = dict(self.canaries)
        return {self.default: round(100 - sum(given.values()), 6), **given}

    def version_of(self, job_id: str) -> str:
        """The same for a job always, so that its retries and replays stay with one version; as long as a canary's share
        only grows, its jobs stay with it too."""
        point = place_of(job_id)
        bounds = accumulate(share for _, share in self.canaries)
        for (version, _), bound in zip(self.canaries, bounds, strict=True):
            if point < bound:
                return version
        return self.default


def place_of(job_id: str) -> float:
    """A number from 0 to below 100, even over all job ids."""
    digest = hashlib.blake2b(job_id.encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48 * 100


def parse_rollout(text: str) -> dict[str, Rollout]:
    """The rollout of each processor that is named. Raises ValueError that says what is wrong."""
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
