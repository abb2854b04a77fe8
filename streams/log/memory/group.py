"""One consumer group: who its members are, whose each partition is, and how far the group has come.

As KIP-848 has it: the group knows where each partition shall be (`target`) and where it is (`owner`). A member gives up what is
no longer its own before another may take it. Not thread-safe; the log locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

Place = tuple[str, int]


class Member(NamedTuple):
    """`client_id`: as its configuration says; several may share one."""

    member_id: str
    client_id: str


class Committed(NamedTuple):
    offset: int
    metadata: str | None


@dataclass(slots=True)
class Group:
    """Members stand in the order in which they joined."""

    committed: dict[Place, Committed] = field(default_factory=dict)
    members: dict[Member, frozenset[str]] = field(default_factory=dict)  # member → topics it reads
    owner: dict[Place, Member] = field(default_factory=dict)
    target: dict[Place, Member] = field(default_factory=dict)

    def join(self, member: Member, topics: Iterable[str], sizes: Mapping[str, int]) -> None:
        """Or read other topics. `sizes`: how many partitions each topic has."""
        self.members[member] = frozenset(topics)
        self.share_out(sizes)

    def leave(self, member: Member, sizes: Mapping[str, int]) -> None:
        """What it owned is free."""
        self.members.pop(member, None)
        self.owner = {place: owner for place, owner in self.owner.items() if owner != member}
        self.share_out(sizes)

    def share_out(self, sizes: Mapping[str, int]) -> None:
        """Each topic by itself, in ranges, as the range assignor does it."""
        self.target = {}
        for topic, size in sizes.items():
            readers = [member for member, topics in self.members.items() if topic in topics]
            for partition in range(size if readers else 0):
                self.target[topic, partition] = readers[partition * len(readers) // size]

    def owned_by(self, member: Member) -> set[Place]:
        return {place for place, owner in self.owner.items() if owner == member}

    def to_give_up(self, member: Member) -> set[Place]:
        return {place for place in self.owned_by(member) if self.target.get(place) != member}

    def give_up(self, member: Member, places: Set[Place]) -> None:
        for place in places:
            if self.owner.get(place) == member:
                del self.owner[place]

    def take(self, member: Member) -> set[Place]:
        """What is the member's to read and nobody's now is its own from here on."""
        free = {place for place, wanted in self.target.items() if wanted == member and place not in self.owner}
        self.owner.update(dict.fromkeys(free, member))
        return free
