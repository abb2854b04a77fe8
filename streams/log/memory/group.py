"""A consumer group: its members, the owner of each partition, and the committed offsets.

Follows KIP-848: the group holds a target assignment (`target`) and the current one (`owner`). A member gives up a partition
before another may take it. Not thread-safe; the log locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

#: A topic and the number of one of its partitions.
PartitionKey = tuple[str, int]


class Member(NamedTuple):
    """`client_id`: from the client's configuration; several members may share one."""

    member_id: str
    client_id: str


class Committed(NamedTuple):
    offset: int
    metadata: str | None


@dataclass(slots=True)
class Group:
    """`members` are in the order in which they joined, each with the topics it reads."""

    committed: dict[PartitionKey, Committed] = field(default_factory=dict)
    members: dict[Member, frozenset[str]] = field(default_factory=dict)
    owner: dict[PartitionKey, Member] = field(default_factory=dict)
    target: dict[PartitionKey, Member] = field(default_factory=dict)

    def join(self, member: Member, topics: Iterable[str], partition_counts: Mapping[str, int]) -> None:
        """Add a member, or change the topics it reads. `partition_counts`: of every topic."""
        self.members[member] = frozenset(topics)
        self.assign_targets(partition_counts)

    def leave(self, member: Member, partition_counts: Mapping[str, int]) -> None:
        """Remove a member and free its partitions."""
        self.members.pop(member, None)
        self.owner = {key: owner for key, owner in self.owner.items() if owner != member}
        self.assign_targets(partition_counts)

    def assign_targets(self, partition_counts: Mapping[str, int]) -> None:
        """Compute the target assignment: each topic by itself, in ranges, as the range assignor does."""
        self.target = {}
        for topic, count in partition_counts.items():
            readers = [member for member, topics in self.members.items() if topic in topics]
            for partition in range(count if readers else 0):
                self.target[topic, partition] = readers[partition * len(readers) // count]

    def owned_by(self, member: Member) -> set[PartitionKey]:
        return {key for key, owner in self.owner.items() if owner == member}

    def to_revoke(self, member: Member) -> set[PartitionKey]:
        return {key for key in self.owned_by(member) if self.target.get(key) != member}

    def revoke(self, member: Member, keys: Set[PartitionKey]) -> None:
        for key in keys:
            if self.owner.get(key) == member:
                del self.owner[key]

    def take(self, member: Member) -> set[PartitionKey]:
        """Make the member the owner of the free partitions that are its target, and return them."""
        free = {key for key, target in self.target.items() if target == member and key not in self.owner}
        self.owner.update(dict.fromkeys(free, member))
        return free
